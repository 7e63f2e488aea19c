/* sim/sim.h - the kernel of the simulator: hosts with clocks and disks, processes on them, a network between them,
 * and one queue of events in virtual time. One seed decides everything.
 *
 * The kernel knows nothing of what it carries. A *program* is what runs on a host (the code under test and its thin
 * driver); a *world* (sim/sim_world.h) sets the programs up and judges them; faults come from a list (sim_fault.h).
 *
 * Everything a program does to the outside - a datagram, bytes on a stream, a write to its disk - is an output, and a
 * process can be killed between any two outputs. Times are true (the simulator's) or local (a host's monotonic
 * clock), in microseconds. A struct sim belongs to one thread; different ones share nothing. After the first run no
 * memory is allocated: pools keep their room when a sim is reset for the next seed. */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include "base/net_address.h"
#include "base/slice.h"
#include "base/fs.h"
#include "sim/sim_random.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define SIM_HOSTS_MAX    1024
#define SIM_SECOND       UINT64_C(1000000)
#define SIM_DATAGRAM_MAX 2048
#define SIM_NEVER        UINT64_MAX

struct sim;
struct sim_host;

/* ---- programs ---- */

enum sim_stream_end {
    SIM_STREAM_CLOSED,      /* the peer closed it, or its process died and the system said so politely */
    SIM_STREAM_RESET,       /* the peer's end does not exist (any more) */
    SIM_STREAM_TIMEOUT,     /* what we sent was not acknowledged for long */
    SIM_STREAM_REFUSED,     /* connecting: the host answers, nobody listens */
    SIM_STREAM_UNREACHABLE, /* connecting: no answer in time */
};

enum sim_stop {
    SIM_STOP_KILL,  /* the process dies; what it wrote to files stays */
    SIM_STOP_POWER, /* the host loses power: so do unsynced writes */
    SIM_STOP_END,   /* the run is over */
};

/* What runs on a host. `process` is what start() made. No call may block; any may be the last (crash). Output after
 * the process was killed in the midst of a call goes nowhere; the disk then answers MESH_EIO. */
struct sim_program {
    const char *name;
    /* A process begins on this host, on whatever its disk holds. NULL: it gave up (it is then not running). */
    void *(*start)(void *context, struct sim_host *host);
    void (*datagram)(void *process, const struct net_address *from, struct slice bytes);
    void (*stream_opened)(void *process, uint64_t stream, bool is_inbound, const struct net_address *peer);
    void (*stream_bytes)(void *process, uint64_t stream, struct slice bytes);
    void (*stream_writable)(void *process, uint64_t stream); /* there is room again after a short write */
    void (*stream_closed)(void *process, uint64_t stream, enum sim_stream_end how); /* the id is void afterwards */
    void (*timer)(void *process);
    /* The process is gone: free what it holds. Nothing can be output any more. */
    void (*stop)(void *process, enum sim_stop how);
    /* For traces: a line about bytes on the wire; may be NULL. */
    void (*describe)(void *process, bool is_stream, struct slice bytes, char *to, size_t size);
};

/* ---- what a program may do, within its calls ---- */

uint64_t sim_host_now_us(const struct sim_host *host);  /* monotonic: CLOCK_MONOTONIC of the host */
int64_t sim_host_wall_us(const struct sim_host *host);  /* may jump */
struct random *sim_host_random(struct sim_host *host);  /* the host's own stream */
struct fs *sim_host_fs(struct sim_host *host);          /* its disk */
struct net_address sim_host_address(const struct sim_host *host); /* address and port it listens on */
uint32_t sim_host_index(const struct sim_host *host);
struct sim *sim_host_sim(const struct sim_host *host);

/* At most SIM_DATAGRAM_MAX bytes; copied. */
void sim_send(struct sim_host *host, const struct net_address *to, struct slice bytes);

/* Begins to connect; stream_opened() or stream_closed() follows. `user` belongs to this end. */
uint64_t sim_connect(struct sim_host *host, const struct net_address *to, uint64_t timeout_us, void *user);
void sim_stream_set_user(struct sim_host *host, uint64_t stream, void *user);
void *sim_stream_user(struct sim_host *host, uint64_t stream);

/* How many of the bytes were taken: fewer than all when the stream's window is full. 0 for a void id. */
size_t sim_stream_write(struct sim_host *host, uint64_t stream, struct slice bytes);
void sim_stream_close(struct sim_host *host, uint64_t stream); /* what was written still arrives. The id is void */
void sim_stream_abort(struct sim_host *host, uint64_t stream); /* the peer sees a reset. The id is void */

/* timer() is called once the host's clock shows due_us (or later); replaces the earlier order. SIM_NEVER: none. */
void sim_set_timer(struct sim_host *host, uint64_t due_us);

/* Ends the process from within (exit). */
void sim_exit(struct sim_host *host);

/* ---- the simulation ---- */

struct sim *sim_new(void);
void sim_free(struct sim *sim); /* accepts NULL */

/* Everything again from nothing: no host runs, no fault is active, time is 0. */
void sim_reset(struct sim *sim, uint64_t seed, uint32_t host_count);

uint64_t sim_now_us(const struct sim *sim);
uint32_t sim_host_count(const struct sim *sim);
struct sim_host *sim_host_at(struct sim *sim, uint32_t index);
struct random *sim_random(struct sim *sim, enum sim_random_domain domain);

/* Calls control(user, argument) at that true time: workloads, checks and faults are driven so. */
typedef void sim_control_fn(void *user, uint64_t argument);
void sim_at(struct sim *sim, uint64_t true_us, sim_control_fn *control, void *user, uint64_t argument);

/* Called after every event that touched a process. The place of invariants: look at this host only. */
typedef void sim_observe_fn(void *user, struct sim_host *host);
void sim_set_observer(struct sim *sim, sim_observe_fn *observe, void *user);

/* Runs until that true time, or until sim_fail() was called (false). */
bool sim_run_until(struct sim *sim, uint64_t true_us);

/* The run has failed: `what` names the invariant, the rest says how. The first failure counts. */
void sim_fail(struct sim *sim, const char *what, const char *format, ...) __attribute__((format(printf, 3, 4)));
const char *sim_failure(const struct sim *sim); /* the invariant's name; NULL: none */
const char *sim_failure_text(const struct sim *sim);


/* Of everything that happened so far: to whom, when and what. Runs that nobody compares may do without what, which is half of its cost. */
uint64_t sim_event_hash(const struct sim *sim);
void sim_set_hashing_bytes(struct sim *sim, bool is_on); /* from the beginning of a run on; as new, they are hashed */
void sim_set_trace(struct sim *sim, FILE *trace); /* NULL: none. Kept by sim_reset() */
void sim_trace(struct sim *sim, struct sim_host *host, const char *format, ...) __attribute__((format(printf, 3, 4)));
bool sim_is_traced(const struct sim *sim);

struct sim_stats {
    uint64_t events, timers, datagrams_sent, datagram_bytes, datagrams_delivered;
    uint64_t lost, cut, too_large, duplicated, replayed, reordered, flipped, unowned, overflowed;
    uint64_t streams, refused, resets, stream_timeouts, retransmissions, stream_bytes;
    uint64_t kills, power_cuts, boundary_kills, starts, deferred;
};
const struct sim_stats *sim_get_stats(const struct sim *sim);

/* ---- hosts ---- */

void sim_host_set_program(struct sim_host *host, const struct sim_program *program, void *context);
void *sim_host_process(const struct sim_host *host); /* NULL: none runs */
bool sim_host_is_running(const struct sim_host *host);
bool sim_host_is_powered(const struct sim_host *host);
bool sim_host_is_awake(const struct sim_host *host); /* runs, and is neither stopped nor asleep: what a control may act on */
bool sim_host_is_dying(const struct sim_host *host); /* killed while a control acted on it: gone after its next event */

/* The IP of a number below SIM_ADDRESSES_MAX. A host listens on one, at first that of its index; a host that takes
 * another's leaves it without. Whatever is on its way to an address goes to whoever has it when it arrives. */
#define SIM_ADDRESSES_MAX 4096
struct net_address sim_address(uint32_t number, uint16_t port);
void sim_host_take_address(struct sim_host *host, uint32_t number);
uint32_t sim_host_address_number(const struct sim_host *host);

void sim_host_start(struct sim_host *host); /* powers it on and starts its program; nothing when it runs */
void sim_host_kill(struct sim_host *host, enum sim_stop how);
/* As sim_host_kill(), but in the midst of the process's work: right before the nth output from now on. */
void sim_host_kill_at_output(struct sim_host *host, uint64_t nth, enum sim_stop how);
void sim_host_pause(struct sim_host *host); /* SIGSTOP; what arrives waits. Pauses nest */
void sim_host_resume(struct sim_host *host);
void sim_host_suspend(struct sim_host *host); /* a virtual machine is stopped: its clock stands still, its network is dead */
void sim_host_wake(struct sim_host *host);
void sim_host_sleep(struct sim_host *host); /* the machine is suspended: its clock goes on, its network is dead. Both nest */
void sim_host_wake_up(struct sim_host *host);
/* The process runs and its timers fire, but what it sends and receives waits (the Lifeguard paper's slow member). */
void sim_host_block_io(struct sim_host *host);
void sim_host_unblock_io(struct sim_host *host);
void sim_host_set_drift(struct sim_host *host, int32_t ppm);
void sim_host_set_clock(struct sim_host *host, uint64_t local_us, int64_t wall_offset_us); /* before its start */
void sim_host_jump_wall(struct sim_host *host, int64_t by_us);
void sim_host_set_timer_slack(struct sim_host *host, uint64_t slack_us); /* timers are late by up to this */

/* ---- disks: of a host that does not run ---- */

struct fs_mem;
struct fs_mem *sim_host_disk(struct sim_host *host);
void sim_host_wipe_disk(struct sim_host *host);
void sim_host_back_up_disk(struct sim_host *host); /* any time: what a copy taken now would hold */
bool sim_host_restore_disk(struct sim_host *host); /* from the backup; false: there is none */
bool sim_host_swap_disk(struct sim_host *host);    /* the backup goes on instead, and the disk is the backup then; false: there is none */
void sim_host_copy_disk(struct sim_host *from, struct sim_host *to); /* as it is now; only `to` may not run */
void sim_host_forget_disk(struct sim_host *host); /* wiped, and so is the backup */

#endif
