/* sim/groups_program.h - consumer groups in a simulated broker: the guest of its turns (replication_program.h) that has a state machine of
 * replication/groups on each replica of a group partition, and leads where the replica does.
 *
 * The thin driver, as cmd/broker/groups has one: what is decided beside a log is decided by the broker's own group_turn.c. */
#ifndef SIM_GROUPS_PROGRAM_H
#define SIM_GROUPS_PROGRAM_H

#include "cmd/broker/groups/group_turn.h"
#include "replication/groups/switches.h"
#include "sim/replication_program.h"

#define GROUPS_PLACES_MAX 16 /* partitions that are consumed at a time, altogether */
#define GROUPS_CELLS_MAX  48 /* of a request: those of topics that were deleted lately among them */
#define GROUPS_NAME_SIZE  48
#define GROUPS_TOPICS_MAX 2

enum groups_op { GROUPS_JOIN, GROUPS_HEARTBEAT, GROUPS_WORK, GROUPS_CLAIM, GROUPS_RELEASE, GROUPS_COMMIT, GROUPS_LEAVE, GROUPS_RESET };

struct groups_cell {
    struct uuid topic;
    uint32_t partition;
    uint64_t offset; /* COMMIT, RESET; out: CLAIM, or GROUP_OFFSET_NONE */
    int32_t record_epoch;
    uint8_t work;    /* out: WORK, an enum group_work_kind */
    int error;       /* out */
    uint32_t found_epoch; /* out: CLAIM, the version of that offset, for the observer; both 0: none was committed */
    uint64_t found_lsn;
};

/* One request, and what is to be remembered of it until it is answered. */
struct groups_request {
    enum groups_op op;
    uint64_t number;    /* whose it is: the clients' */
    uint32_t group;     /* its name is groups_name() */
    char member[GROUPS_NAME_SIZE], instance[GROUPS_NAME_SIZE]; /* instance: or empty */
    uint32_t epoch_plus_one; /* of the leader, as the member knows it; 0: it does not */
    uint64_t sequence;
    uint32_t generation;
    uint32_t session_ms, processing_ms; /* JOIN */
    enum group_strategy strategy;       /* JOIN */
    bool has_pattern;                   /* JOIN: instead of names */
    bool is_forced;                     /* RESET */
    uint32_t reset_epoch;               /* RESET; COMMIT outside of groups */
    bool is_copy;                       /* it was sent before, and comes again late */
    bool is_forwarded;                  /* by a broker that does not lead */
    uint32_t cell_count;                /* WORK: out */
    struct groups_cell cells[GROUPS_CELLS_MAX];
};

struct groups_answer {
    struct groups_request request; /* with the cells' results */
    int error;
    uint32_t epoch_plus_one, generation;
    uint64_t heard_us, proof_behind_us;
    bool has_work;
    uint64_t lsn;   /* of the record that was written for it; 0: none was */
    uint64_t place; /* behind all that it was judged by */
};

struct groups_partition;

/* What the world wants to know; all are set. */
struct groups_hooks {
    void (*began)(void *user, struct groups_partition *partition); /* it leads, before its first decision */
    /* It has applied all of its log up to `applied`, whose last record is at lsn in a batch of this epoch. */
    void (*applied)(void *user, struct groups_partition *partition, uint32_t epoch, uint64_t lsn);
    void (*judged)(void *user, struct groups_partition *partition, const struct groups_answer *answer); /* decided; not answered yet */
    void (*answered)(void *user, struct replication_process *process, const struct groups_answer *answer);
    void (*told)(void *user, struct groups_partition *partition, const struct group_event *event);
    void (*broke)(void *user, struct groups_partition *partition, int error); /* a record that cannot follow */
};

struct groups_config {
    const char *topic;         /* name of the topic in which groups live */
    const char *topics[GROUPS_TOPICS_MAX]; /* to which members subscribe */
    struct group_limits limits;
    uint32_t session_ms;       /* the shortest that members have: how old a proof may be depends on it */
    uint32_t part_defects;     /* 1 << each of cmd/broker/groups/group_turn.h */
    uint32_t core_defects;     /* 1 << each of replication/groups/switches.h */
    const struct groups_hooks *hooks;
    void *user;
};

/* One replica of a group partition in one process. */
struct groups_partition {
    struct list_node link;
    struct groups_guest *guest;
    struct replication_replica *replica;
    struct group_part part;
    uint64_t deadline_ms;  /* of a turn of it */
    uint32_t last_epoch;   /* of the record applied last, and its place; 0: none */
    uint64_t last_lsn;
    uint64_t read_from_us; /* the state has all records that were written later */
    int32_t began_in;      /* leader epoch in which it began to lead last; -1: it did not */
    bool is_late;          /* the log has more than it could read or append: the next turn goes on */
};

extern const struct replication_guest groups_guest; /* its context: a struct groups_config */

struct slice groups_name(uint32_t group, char *to, size_t size); /* "group-N" */

/* The partition of the group topic in which a group lives, and whether that is kept here; NULL: it is not, or there is no such topic yet. */
struct groups_partition *groups_find_partition(struct replication_process *process, uint32_t group);

const struct group_catalog *groups_catalog_of(const struct groups_partition *partition);

/* Who leads that partition, as this broker's image has it; UINT32_MAX: nobody. */
uint32_t groups_leader_of(struct replication_process *process, uint32_t group);

/* Judges a request, here. MESH_ENOT_LEADER: nothing was done, and there is no answer. 0: the answer is a call of the hook, now or later. The caller then
 * calls metadata_process_drain(). */
int groups_ask(struct replication_process *process, const struct groups_request *request);

#endif
