/* sim/groups_internal.h - what the files of a simulated broker's consumer groups share. */
#ifndef SIM_GROUPS_INTERNAL_H
#define SIM_GROUPS_INTERNAL_H

#include "sim/groups_program.h"
#include "wire/record_batch.h"

#define GROUPS_WAIT_MS 5000 /* an answer waits so long for its barrier */

struct groups_guest {
    struct replication_process *process;
    const struct groups_config *config;
    struct list_node partitions;
    struct record_batch_builder builder;
    struct buffer bytes, names;
    bool is_stopping; /* the process is gone: what is answered goes nowhere */
    struct group_terms terms;
    /* groups_catalog.c */
    const struct image *image; /* a reference: of which `topics` are */
    const struct image_topic **topics;
    size_t topic_count;
    uint64_t topics_hash;
};

#define GROUPS_HOOK(guest, name, ...) (guest)->config->hooks->name((guest)->config->user, __VA_ARGS__)

/* ---- groups_program.c ---- */
struct group_facts groups_facts(const struct groups_partition *partition);
void groups_note_lead(struct groups_partition *partition); /* before anything that a lead decides: has a new one begun? */
/* The state has just come to the log's end, or to that of what could be read. */
void groups_note_applied(struct groups_partition *partition);

/* ---- groups_catalog.c ---- */
void groups_catalog_init(struct groups_guest *guest);
void groups_catalog_deinit(struct groups_guest *guest);
void groups_catalog_look(struct groups_guest *guest); /* once a turn: is there a new image? */

#endif
