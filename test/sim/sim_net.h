/* sim/sim_net.h - the network between hosts and what is wrong with it now. Faults add up: each adds its share when it
 * begins and takes it back when it ends. */
#ifndef SIM_SIM_NET_H
#define SIM_SIM_NET_H

#include <stdint.h>

struct sim;

/* Chances in millionths. */
struct sim_net_faults {
    uint32_t loss_ppm, duplicate_ppm, replay_ppm, reorder_ppm, flip_ppm;
    uint64_t delay_us; /* mean of the exponential part of the delay */
};

struct sim_net_options {
    uint64_t delay_min_us, delay_mean_us; /* a packet takes min + an exponential part with this mean */
    uint64_t reorder_us;                  /* what a reordered packet takes longer, at most */
    uint64_t replay_us;                   /* how late a replayed packet comes, at most */
    uint64_t stream_timeout_us;           /* unacknowledged for so long: the stream ends */
    uint32_t receive_buffer_bytes;        /* datagrams that wait for a paused process */
};
struct sim_net_options *sim_net_options(struct sim *sim); /* to be changed after sim_reset(), which sets defaults */

/* What is in force everywhere, to be changed in place. */
struct sim_net_faults *sim_net_faults(struct sim *sim);

/* One direction of one pair. A cut is counted: it ends when as many ends as begins were said. */
enum sim_net_traffic { SIM_NET_UDP = 1, SIM_NET_TCP = 2, SIM_NET_ALL = 3 };
void sim_net_cut(struct sim *sim, uint32_t from, uint32_t to, enum sim_net_traffic traffic);
void sim_net_join(struct sim *sim, uint32_t from, uint32_t to, enum sim_net_traffic traffic);
void sim_net_clog(struct sim *sim, uint32_t from, uint32_t to, uint64_t until_us); /* then all comes at once */
void sim_net_set_mtu(struct sim *sim, uint32_t from, uint32_t to, uint16_t mtu);   /* larger is lost. 0: no limit */
void sim_net_reset_streams(struct sim *sim, uint32_t a, uint32_t b);               /* a middlebox kills them */

#endif
