/* sim/replication_internal.h - what the files of a simulated broker share. Mirrors cmd/broker/replicas, in one thread and without sockets. */
#ifndef SIM_REPLICATION_INTERNAL_H
#define SIM_REPLICATION_INTERNAL_H

#include "sim/replication_program.h"

#define REPLICATION_RETRY_MS     100
#define REPLICATION_DISK_WAIT_MS 2000
#define REPLICATION_ALTERS_MAX   256
#define REPLICATION_REPORT_COOKIE (UINT64_C(1) << 62) /* in the cookies of reports */
#define REPLICATION_LOST_COOKIE   (UINT64_C(1) << 61) /* likewise, of what tells of damage */
#define REPLICATION_LOST_MAX      64                  /* in one request */
#define REPLICATION_FRAME_HEAL    16                  /* on a stream between brokers: a piece is asked for */

struct replication_ack {
    uint64_t request, base_offset, end_offset, ticket;
    int32_t leader_epoch;
    uint32_t cut_count;
    bool waits, is_async, is_duplicate;
};

/* Damaged replicas, and the one piece that is fetched. */
struct replication_heal {
    struct list_node damaged; /* of struct replication_replica */
    uint64_t stream;          /* 0: none */
    bool is_open;
    struct replication_replica *fetching;
    uint64_t from, until_ms;
    struct buffer in, out;
    uint64_t cookie;
    uint32_t lost_count; /* 0: the coordinator is not being told */
    struct replication_replica *lost[REPLICATION_LOST_MAX];
};

struct replication_process {
    struct metadata_process *metadata;
    struct sim_host *host;
    const struct replication_config *config;
    struct replication_store store;
    struct replica_board board;
    struct list_node replicas, redo, altering, acking;
    struct list_node reports_due, reports_told;
    uint64_t reports_term, reports_again_ms, report_cookie;
    bool is_reporting;
    struct list_node follows, leads; /* replication_streams.c */
    const struct image *image;       /* a reference; NULL: none yet */
    bool has_news;
    uint64_t installed_index, brokers_hash;
    bool is_registered, is_incomplete;
    int32_t node_id;
    uint64_t now_ms, redo_ms, incomplete_ms;
    bool is_stirred; /* something happened that a turn has to look at; otherwise it is wanted at due_us */
    bool is_turned;  /* due_us is to be found anew */
    /* A clean stop, as cmd/broker/runtime/stop.c has it: nothing new is taken; what is under way is answered; the store syncs all. */
    bool is_leaving, is_draining, is_drained;
    uint64_t due_us;
    bool has_appended;
    bool is_store_touched; /* since its last turn: only then there may be jobs for it */
    uint32_t hurry; /* turns in a row after which another one was wanted at once */
    struct buffer packet, bytes, scratch;
    void *guest; /* NULL: none */
    struct replication_heal heal;
    /* The ALTER under way. */
    uint64_t alter_cookie;
    uint32_t alter_count; /* 0: none */
    struct replication_alter {
        struct replication_replica *replica;
        struct replica_alter alter;
    } alters[REPLICATION_ALTERS_MAX];
};

#define REPLICATION_HOOK(process, name, ...) (process)->config->hooks->name((process)->config->user, __VA_ARGS__)

#define REPLICATION_GUEST(process, name, ...)                                                                        \
    do {                                                                                                             \
        if ((process)->guest != NULL) (process)->config->guest->name((process)->guest, __VA_ARGS__);                 \
    } while (0)

static inline struct replication_replica *replication_of(const struct replica *replica)
{
    return container_of(replica, struct replication_replica, replica);
}

/* ---- replication_program.c ---- */
/* plog_append(), after which the store has its turn in any case: also what a log does not take yet may be the beginning of something. */
int replication_log_append(struct replication_replica *replica, const struct record_batch_header *header, const uint8_t *batch, uint64_t *ret_ticket);
void replication_redo(struct replication_replica *replica, uint32_t todo, uint64_t after_ms);
uint64_t replication_epoch_end(void *user, const struct replica *replica, int32_t epoch, int32_t *ret_epoch);
int32_t replication_last_epoch(void *user, const struct replica *replica);
int32_t replication_start_epoch(void *user, const struct replica *replica);
void replication_identify(void *user, const struct replica *replica, struct uuid *ret_topic_id, uint32_t *ret_partition);

/* ---- replication_roles.c ---- */
void replication_delete_records(struct replication_replica *replica); /* that clients had deleted */
void replication_install_image(struct replication_process *process);

/* ---- replication_produce.c ---- */
void replication_acknowledge(struct replication_process *process);
void replication_acknowledge_committed(struct replication_replica *replica);
void replication_refuse_waiting(struct replication_replica *replica, int error);

/* ---- replication_alters.c ---- */
void replication_alters_add(struct replication_replica *replica);
void replication_alters_send(struct replication_process *process);
void replication_alters_answered(struct replication_process *process, const struct node_output *answer);

/* ---- replication_reports.c ---- */
void replication_reports_consider(struct replication_replica *replica, bool is_late);
void replication_reports_hear_of_coordinator(struct replication_process *process, uint64_t term);
void replication_reports_answered(struct replication_process *process, const struct node_output *answer);
void replication_reports_send(struct replication_process *process);

/* ---- replication_heal.c ---- */
void replication_heal_init(struct replication_process *process);
void replication_heal_free(struct replication_process *process);
void replication_heal_stop(struct replication_process *process); /* nothing more is fetched */
void replication_heal_look(struct replication_replica *replica); /* its log has news */
bool replication_heal_forbids_cut(const struct replication_replica *replica, uint64_t offset); /* as heal_forbids_cut() */
void replication_heal_forget(struct replication_replica *replica); /* damage.is_known: it is about to go */
void replication_heal_run(struct replication_process *process);
uint64_t replication_heal_due_ms(const struct replication_process *process);
void replication_heal_answered(struct replication_process *process, const struct node_output *answer);
void replication_heal_serve(struct replication_process *process, struct slice message, struct buffer *out);
bool replication_heal_owns(const struct replication_process *process, uint64_t stream);
void replication_heal_opened(struct replication_process *process);
void replication_heal_bytes(struct replication_process *process, struct slice bytes);
void replication_heal_writable(struct replication_process *process);
void replication_heal_closed(struct replication_process *process);

/* ---- replication_streams.c ---- */
void replication_streams_init(struct replication_process *process);
void replication_streams_free(struct replication_process *process);
bool replication_follow(struct replication_replica *replica); /* false: its leader is not known yet */
void replication_streams_stop(struct replication_process *process); /* ends them; the process goes on */
void replication_streams_run(struct replication_process *process);
void replication_streams_send(struct replication_process *process);
uint64_t replication_streams_due_ms(struct replication_process *process);
bool replication_streams_owns(void *tenant, uint64_t stream);
void replication_streams_arrived(void *tenant, uint64_t stream, struct slice first);
void replication_streams_opened(void *tenant, uint64_t stream);
void replication_streams_bytes(void *tenant, uint64_t stream, struct slice bytes);
void replication_streams_writable(void *tenant, uint64_t stream);
void replication_streams_closed(void *tenant, uint64_t stream);

#endif
