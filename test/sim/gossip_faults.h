/* sim/gossip_faults.h - what a world of gossip makes of SIM_FAULT_WORLD: a broker leaves in good order; its disk fails, fills up
 * or tears a write; the seeds' names lie; its data directory is copied to another host, where a second process begins with
 * the same identity. */
#ifndef SIM_GOSSIP_FAULTS_H
#define SIM_GOSSIP_FAULTS_H

#include "sim/gossip_dns.h"
#include "sim/gossip_watch.h"
#include "sim/sim_fault.h"

struct gossip_faults {
    struct sim *sim;
    struct gossip_watch *watch;
    struct gossip_dns *dns;
    bool has_twins; /* copies of directories take part */
    uint32_t leaving_boots[SIM_HOSTS_MAX]; /* of those that were told to leave; 0: nobody */
};

void gossip_faults_apply(struct gossip_faults *faults, const struct sim_fault *fault, bool is_begin);

/* A process of host `to`, on a copy of the disk of `from`; what `to` was before is gone. And its end: `to` is somebody new. */
void gossip_faults_begin_twin(struct gossip_watch *watch, struct sim_host *from, struct sim_host *to);
void gossip_faults_end_twin(struct sim_host *to);

#endif
