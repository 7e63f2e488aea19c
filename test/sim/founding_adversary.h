/* sim/founding_adversary.h - somebody who watches a first boot and strikes when it hurts: what chance meets once in many thousand
 * seeds happens in each. Keeps to what a founding has to stand (replication/founding/README.md). */
#ifndef SIM_FOUNDING_ADVERSARY_H
#define SIM_FOUNDING_ADVERSARY_H

#include "sim/founding_watch.h"

enum founding_adversary_kind {
    FOUNDING_ADVERSARY_NONE,
    /* A minority is deaf while the others found; then some of those lose their disks and the rest is cut off, so that nobody is left
     * but blank disks and those that heard nothing. */
    FOUNDING_ADVERSARY_FORGETS,
    /* The proposer dies for good as soon as somebody has promised it anything. */
    FOUNDING_ADVERSARY_BURIES,
    /* As FORGETS, but one that knows comes back with a directory of before it promised anything, beside those that heard nothing. */
    FOUNDING_ADVERSARY_RESTORES,
    /* Brokers, one too many, are parted in two halves as soon as all have heard of all. */
    FOUNDING_ADVERSARY_PARTS,
};

struct founding_adversary {
    struct sim *sim;
    struct founding_watch *watch;
    const struct founding_config *configs;
    enum founding_adversary_kind kind;
    uint64_t last_us; /* nothing begins after this */
    unsigned stage;
    uint32_t spared;  /* is not buried; UINT32_MAX: nobody is spared */
    uint32_t buried;  /* UINT32_MAX: nobody */
    bool has_backup[FOUNDING_HOSTS_MAX];
    struct founding_stamps backups[FOUNDING_HOSTS_MAX]; /* what they hold */
    bool cuts[FOUNDING_HOSTS_MAX][FOUNDING_HOSTS_MAX];
};

/* After all else was set up. */
void founding_adversary_begin(struct founding_adversary *adversary);
void founding_adversary_event(struct founding_adversary *adversary, struct sim_host *host); /* after the watch */
void founding_adversary_end(struct founding_adversary *adversary); /* takes all cuts back; the buried stay so */

#endif
