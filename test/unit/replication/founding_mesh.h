/* A few foundings in memory, in lockstep: messages arrive at once, disks are as quick or as slow as a test says. */
#ifndef FOUNDING_MESH_H
#define FOUNDING_MESH_H

#include "base/buffer.h"
#include "replication/founding/founding.h"

#define MESH_SIZE_MAX 8

struct founding_mesh {
    uint64_t now_us;
    unsigned size;
    struct founding_mesh_broker {
        struct founding_options options;
        struct founding *founding; /* NULL: it does not run */
        struct founding_state disk;
        bool has_disk, is_disk_slow, is_cut; /* slow: stores wait for founding_mesh_finish_store() */
        uint64_t pending_store;              /* 0: none */
        struct founding_state pending_state;
        bool is_done, is_founder, is_marked;
        struct founding_value value;
        char log[8192]; /* all that was said */
    } brokers[MESH_SIZE_MAX];
    unsigned blocked[MESH_SIZE_MAX]; /* bit b: a does not reach b */
    struct buffer mail;              /* on its way */
};

void founding_mesh_init(struct founding_mesh *mesh, unsigned size, uint32_t expect);
void founding_mesh_deinit(struct founding_mesh *mesh);
void founding_mesh_start(struct founding_mesh *mesh, unsigned broker);
void founding_mesh_start_all(struct founding_mesh *mesh);
void founding_mesh_kill(struct founding_mesh *mesh, unsigned broker);
void founding_mesh_wipe(struct founding_mesh *mesh, unsigned broker); /* of a dead one: another broker then */
void founding_mesh_run(struct founding_mesh *mesh, uint64_t us);
void founding_mesh_finish_store(struct founding_mesh *mesh, unsigned broker);
unsigned founding_mesh_done_count(const struct founding_mesh *mesh);

#endif
