/* sim/gossip_sodium.h - what libsodium computes several times in a mesh that is one process, computed once.
 *
 * A broker's news is signed once and verified by each other broker; both ends of a link make the same secret of four keys; what is sealed
 * is opened soon after; each channel has pages of its own, locked and guarded by six calls of the kernel. These were more than half of what
 * a sealed run costs. The linker
 * (--wrap) puts the functions of gossip_sodium.c in their place: all of them answer what libsodium answers, bit by bit, since they
 * remember nothing but its answers, and only good ones: what nobody has signed in this thread is verified as ever. The memory is
 * bounded, one for each thread, and decides nothing but the time that a run takes. */
#ifndef SIM_GOSSIP_SODIUM_H
#define SIM_GOSSIP_SODIUM_H

/* Forgets all: each sealed run begins so. */
void gossip_sodium_forget(void);

#endif
