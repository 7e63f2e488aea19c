/* client/group.h - a subscribed consumer: what stands between the member of a group (group_member.h), which decides, and the consumer, which reads.
 *
 * group_options.c what a member is to be like; group.c subscribing, one turn, the end; group_calls.c requests and answers as messages; group_assign.c
 * partitions that come and go, and the application's callback; group_commit.c what counts as handled.
 *
 * Requests leave and answers arrive in any turn of the client; what they bring about for the application happens in group_turn() alone, which polls call
 * between records. */
#ifndef CLIENT_GROUP_H
#define CLIENT_GROUP_H

#include "client/consumer.h"
#include "client/group_keeper.h"
#include "client/group_member.h"
#include "client/group_pulse.h"

#include <mesh/group.h>

#define GROUP_NAME_ROOM     256 /* bytes of a name, with its NUL */
#define GROUP_TURN_MS       20  /* a poll that finds records ready takes a turn of the client all the same, so often */
#define GROUP_DESCRIBE_MS   40 /* between questions for topics' names */
#define GROUP_FREE_MS       5000
#define GROUP_LONGEST_MS    (24 * 3600 * 1000)

enum group_delivery { GROUP_AT_LEAST_ONCE, GROUP_AT_MOST_ONCE, GROUP_MANUAL };
enum group_start { GROUP_START_EARLIEST, GROUP_START_LATEST, GROUP_START_ERROR };

struct mesh_group_options {
    char group[GROUP_NAME_ROOM], instance[GROUP_NAME_ROOM], zone[GROUP_NAME_ROOM];
    uint32_t strategy; /* as enum group_strategy */
    enum group_delivery delivery;
    enum group_start start;
    uint32_t session_ms, processing_ms, commit_interval_ms;
    bool has_thread;
    bool is_broadcast; /* the group is this instance's alone: group_options_settle() gives it its name */
};

/* A topic that partitions were assigned of. */
struct group_topic_name {
    struct list_node node;
    struct uuid id;
    struct topic *topic; /* referenced */
};

/* A partition that is claimed and not yet read, or the like. */
struct group_item {
    struct uuid topic_id;
    struct topic *topic; /* referenced; NULL: its name is not known yet */
    uint32_t partition;
    uint32_t generation;
    int64_t offset;      /* -1: nothing was committed; also MESH_OFFSET_BEGINNING, MESH_OFFSET_END once set_offset is there */
    int32_t record_epoch; /* leader epoch of the record before that, -1: not known */
    bool has_offset;     /* the application said where to begin */
};

struct group_items {
    struct group_item *items; /* owned */
    size_t count, room;
};

struct group_waiter {
    struct list_node node;
    uint64_t ticket;
    int error; /* what could not even be asked for; 0: all was */
    mesh_commit_fn *done;
    void *user;
};

struct consumer_group {
    struct mesh_consumer *consumer;
    struct mesh_group_options options;
    char **names; /* owned; topics, or */
    size_t name_count;
    char *pattern; /* owned */
    struct pump pump;
    struct timer timer;
    struct consumer_member *member;
    struct consumer_pulse pulse; /* without a thread */
    struct group_keeper *keeper; /* with one */
    int32_t leader;              /* node id of who leads the group's partition, as last heard; -1: not known */

    struct call *call; /* the member's request under way, or NULL */
    uint64_t call_sequence, call_deadline_ms;
    enum consumer_member_request_kind call_kind;
    struct consumer_member_cell *cells; /* owned; of it, in the order of topics and partitions */
    size_t *places;                     /* owned; of each in the request */
    size_t cell_count, cell_room;
    struct call *beat;
    char beat_id[CONSUMER_PULSE_ID_MAX + 1];

    struct list_node topics; /* struct group_topic_name */
    struct call *describe;
    uint64_t describe_retry_ms;
    struct group_items unnamed; /* claimed, and nobody knows yet what they are called */

    struct list_node polled;  /* assignments whose records the application has been given since they were stored */
    struct list_node waiters; /* commits that somebody waits for */
    uint64_t turned_ms;
    bool is_turning; /* inside a callback of the application */
    bool is_ending;
    bool has_left;
    int failure;       /* nothing goes on */
    uint64_t slow;
    uint64_t polled_ms; /* when the last poll returned records; 0: it is back */
    struct group_handling handling; /* what it returned first */
};

/* group_options.c */
int group_options_settle(struct mesh_client *client, struct mesh_group_options *options);

/* group.c */
void group_free(struct consumer_group *group); /* accepts NULL; commits and leaves first, within GROUP_FREE_MS */
/* What answers have brought about. Between records only: may run the application's callback. Errors: why nothing goes on. */
int group_turn(struct consumer_group *group);
void group_pump_run(struct pump *pump);

/* Records are about to be returned, this one first. */
void group_handling(struct consumer_group *group, const struct mesh_consumed *first);
/* Any thread. */
void group_tell_slow(const struct mesh_consumer *consumer, const struct group_handling *handling, uint64_t took_ms, uint32_t limit_ms);

/* group_calls.c */
void group_send(struct consumer_group *group);
void group_beat(struct consumer_group *group);
void group_forget_calls(struct consumer_group *group);
int group_encode_heartbeat(const struct mesh_group_options *options, struct slice member, uint32_t generation, uint32_t timeout_ms, bool wants_work,
                           struct buffer *to);
/* Of a heartbeat: everything but work. */
void group_decode_heartbeat(int err, struct slice message, struct consumer_member_answer *ret_answer, int32_t *ret_leader);

/* group_assign.c */
int group_take_changes(struct consumer_group *group); /* MESH_ENOMEM: the rest later */
void group_drop_all(struct consumer_group *group);
void group_forget_names(struct consumer_group *group);

/* group_commit.c */
void group_note_polled(struct assignment *assignment);
int group_store_polled(struct consumer_group *group); /* MESH_ENOT_OWNER: some of it is not this member's any more; all else is stored */
void group_committed_up_to(struct consumer_group *group, uint64_t ticket, int error);
int group_commit_wait(struct consumer_group *group, uint64_t deadline_ms);
/* `done` is told once; MESH_ENOMEM, MESH_ECANCELED: nothing was asked for. */
int group_commit_ask(struct consumer_group *group, mesh_commit_fn *done, void *user);
struct group_commit_wait {
    struct consumer_group *group;
    bool is_done;
    int error;
};
void group_commit_note(void *user, int error); /* of a struct group_commit_wait */

#endif
