/* mesh/group.h - consumer groups: many consumers share the partitions of topics, and where each stands survives them.
 *
 * A consumer subscribes with options (mesh_group_options); the group's members then divide the partitions among them, and those that stay with a
 * member never pause when others come or go. The library joins, claims, commits and releases by itself; all of that happens inside
 * mesh_consumer_poll() and the calls here - but for heartbeats, which a thread of the library's own sends, so that a handler may take as
 * long as its declared limit ("processing.ms"). Poll on: a partition that others wait for is released by the next poll, and taken away after that limit.
 *
 * What is delivered how often ("delivery"):
 *   at-least-once   (default) what a poll returned counts as handled when the next poll begins, and is committed every "commit.interval.ms", when a
 *                   partition goes and when the consumer closes. After a crash some records come again; none is left out.
 *   at-most-once    what a poll is about to return is committed before: after a crash some records are left out; none comes again.
 *   manual          counts as handled what mesh_consumer_store() says, and is committed by the mesh_consumer_commit...() calls.
 * The thread is not there after fork(): a child leaves its parent's consumers and clients alone, also at its end, and makes its own.
 * Exactly once on your side: keep offsets with your results, and give them back in the callback (mesh_rebalance_set_offset()); write
 * mesh_consumer_fencing_token() beside them, and refuse writes with a smaller one.
 * Everything to everybody ("broadcast"): with offsets that the brokers keep, under an instance's name; or without a group, and with offsets of your own
 * or none: mesh_consumer_assign() with partition -1.
 *
 * Included by mesh/mesh.h. */
#ifndef MESH_GROUP_H
#define MESH_GROUP_H

#include <mesh/error.h>
#include <mesh/export.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mesh_client;
struct mesh_consumer;

/* ---- options ---- */

struct mesh_group_options;

/* Defaults are beside each key:
 *   group                the group's name (no default): 1 to 255 bytes
 *   instance             a name that survives restarts: a member that comes back under it gets its partitions back, and none move meanwhile
 *                        (for "session.ms" at most); "": none
 *   zone                 for the strategy "zone"; ""
 *   strategy             sticky | range | round-robin | zone; sticky
 *   delivery             at-least-once | at-most-once | manual; at-least-once
 *   start                where a partition begins of which nothing was committed: earliest | latest | error; earliest
 *   session.ms           a member of which nothing is heard for so long is taken for dead; 30000
 *   processing.ms        how long handling what one poll returned may take, at most, once others wait for its partition; 300000
 *   commit.interval.ms   5000; 0: only when a partition goes, at the end, and when asked
 *   broadcast            off | on: every instance gets every partition, and has offsets of its own, which survive it: it is a group by itself,
 *                        called "group/instance" (so in mesh_group_list() and the like). Needs "instance"; off
 *   liveness             thread | poll: whether heartbeats have a thread, or are sent inside calls (then poll at least every third of
 *                        session.ms); thread */
MESH_EXPORT int mesh_group_options_new(struct mesh_group_options **ret_options);
MESH_EXPORT void mesh_group_options_free(struct mesh_group_options *options); /* accepts NULL */
/* Errors: MESH_EINVALID_CONFIG (no such key, or no such value), MESH_ENOMEM. */
MESH_EXPORT int mesh_group_options_set(struct mesh_group_options *options, const char *key, const char *value);

/* ---- subscribing ---- */

/* The consumer has no partitions yet, or is subscribed in the same group already: then to these topics instead, and its options stay as they are. Topics
 * need not exist yet. Options are copied. Does not wait: what the brokers object to is told by the next poll (MESH_EINVALID_GROUP,
 * MESH_EINVALID_SESSION_TIMEOUT, MESH_EFENCED_INSTANCE, ...), and by each after it: the consumer is no member any more, until it is subscribed again, in
 * whatever group. Errors: MESH_EINVAL, MESH_ENOMEM. */
MESH_EXPORT int mesh_consumer_subscribe(struct mesh_consumer *consumer, const struct mesh_group_options *options, const char *const *topics,
                                        size_t topic_count);
/* To every topic, now and later, whose whole name fits an extended regular expression (without back references and counted repetition). */
MESH_EXPORT int mesh_consumer_subscribe_pattern(struct mesh_consumer *consumer, const struct mesh_group_options *options, const char *pattern);
/* Commits, releases everything and leaves, also under an instance name; waits for that, at most the client's timeout. What was returned counts as handled.
 * Errors: MESH_ETIMEDOUT (goes when its session is over); else the consumer has left, and some offset was not committed: MESH_ENOT_OWNER, ...
 * mesh_consumer_free() leaves as well, waiting five seconds at most; but what the last poll returned does not count as handled then - commit first - and
 * an instance's partitions are left to its next life. */
MESH_EXPORT int mesh_consumer_unsubscribe(struct mesh_consumer *consumer);

/* ---- partitions come and go ---- */

enum mesh_rebalance_kind {
    MESH_REBALANCE_ASSIGNED, /* will be read from now on */
    MESH_REBALANCE_REVOKED,  /* will be released: all that was handed out of it is handled; what is stored now is committed yet */
    MESH_REBALANCE_LOST,     /* another member may have it already: what is not committed comes there again */
};

struct mesh_rebalance; /* valid while the callback runs */
MESH_EXPORT enum mesh_rebalance_kind mesh_rebalance_kind(const struct mesh_rebalance *rebalance);
MESH_EXPORT size_t mesh_rebalance_count(const struct mesh_rebalance *rebalance);
MESH_EXPORT int mesh_rebalance_get(const struct mesh_rebalance *rebalance, size_t index, const char **ret_topic, int32_t *ret_partition,
                                   int64_t *ret_offset); /* ASSIGNED: where it begins, or -1: nothing was committed; else where reading stands */
/* ASSIGNED: it begins there instead (or at MESH_OFFSET_BEGINNING, MESH_OFFSET_END). Errors: MESH_EINVAL. */
MESH_EXPORT int mesh_rebalance_set_offset(struct mesh_rebalance *rebalance, size_t index, int64_t offset);

/* Runs inside mesh_consumer_poll(), mesh_consumer_unsubscribe() or mesh_consumer_free(), between records, never while one is being handled by
 * the thread that polls. It may call mesh_consumer_store() and mesh_consumer_commit(); with this consumer it may not poll, subscribe or unsubscribe
 * (MESH_EINVAL), and must not free it. Nothing is told of partitions that go because the consumer
 * itself leaves. */
typedef void mesh_rebalance_fn(void *user, struct mesh_consumer *consumer, struct mesh_rebalance *rebalance);
MESH_EXPORT void mesh_consumer_on_rebalance(struct mesh_consumer *consumer, mesh_rebalance_fn *rebalance, void *user);

/* ---- slow handlers ---- */

struct mesh_slow_info {
    const char *topic; /* valid while the callback runs */
    int32_t partition; /* of what the poll returned first */
    int64_t offset;
    int64_t took_ms;  /* since the poll returned it */
    int64_t limit_ms; /* "processing.ms": once that is over, partitions that others wait for are taken away */
};
/* What a poll returned is being handled for more than half of "processing.ms". Told once for each poll: by the library's thread, while the handler still
 * works (or hangs) - so it may call nothing of this client or consumer -, or, with "liveness" poll, by the next poll. Set it before subscribing. */
typedef void mesh_slow_fn(void *user, const struct mesh_slow_info *info);
MESH_EXPORT void mesh_consumer_on_slow(struct mesh_consumer *consumer, mesh_slow_fn *slow, void *user);

/* ---- where it stands ---- */

/* "manual": everything before `offset` is handled. `metadata` (may be NULL) is a text beside it, up to 4 KiB. Not committed by itself, but for
 * commit.interval.ms. Errors: MESH_ENOT_OWNER, MESH_EMETADATA_TOO_LARGE, MESH_EINVAL, MESH_ENOMEM. */
MESH_EXPORT int mesh_consumer_store(struct mesh_consumer *consumer, const char *topic, int32_t partition, int64_t offset, const char *metadata);

/* Commits what counts as handled - in "at-least-once" all that polls have returned, also the last one - and waits until every replica of the group's
 * partition that may lead next has it on its disk. Errors: MESH_ENOT_OWNER (a partition was lost: what was handled of it may come again elsewhere), MESH_ETIMEDOUT (goes on in the background), ... */
MESH_EXPORT int mesh_consumer_commit(struct mesh_consumer *consumer);
/* Runs once, inside a call for the consumer; MESH_ECANCELED: the consumer ended first. It may and must not what a callback of a rebalance may and must not. */
typedef void mesh_commit_fn(void *user, int error);
MESH_EXPORT int mesh_consumer_commit_async(struct mesh_consumer *consumer, mesh_commit_fn *done, void *user); /* done may be NULL */

/* The group's committed offset, as the leader of its partition has it; -1: none. Errors: MESH_EUNKNOWN_TOPIC, ... */
MESH_EXPORT int mesh_consumer_committed(struct mesh_consumer *consumer, const char *topic, int32_t partition, int64_t *ret_offset);

/* A number that rises with each owner of the partition: what a store outside compares to refuse a former owner's writes. Errors: MESH_ENOT_OWNER. */
MESH_EXPORT int mesh_consumer_fencing_token(const struct mesh_consumer *consumer, const char *topic, int32_t partition, uint64_t *ret_token);

struct mesh_membership_info {
    const char *group, *member; /* valid until the next call */
    int is_joined;
    uint32_t generation, partitions;
    int64_t lease_ms;   /* for so long what was handed out is nobody else's for sure; 0: it may be */
    uint64_t slow;      /* how often the time from one poll that returned records to the next was more than half of processing.ms */
    int trouble;        /* why the last attempt to talk to the group's leader failed; 0: it did not */
};
MESH_EXPORT int mesh_consumer_membership(const struct mesh_consumer *consumer, struct mesh_membership_info *ret_info); /* MESH_EINVAL: not subscribed */

/* ---- groups seen from outside (blocking) ---- */

struct mesh_group_info {
    const char *group, *state, *protocol; /* state: empty, stable, rebalancing */
    uint32_t generation, members, topics;
    uint64_t offsets;  /* committed */
    int64_t age_ms;    /* how old the answer may be at most; 0: from the group's leader or a replica in sync */
};
struct mesh_groups; /* owns what its infos point to */
/* Every group, by name, as one broker knows it. Errors: MESH_EUNREACHABLE, MESH_ETIMEDOUT, MESH_ENOMEM, ... */
MESH_EXPORT int mesh_group_list(struct mesh_client *client, struct mesh_groups **ret_groups);
MESH_EXPORT size_t mesh_groups_count(const struct mesh_groups *groups);
MESH_EXPORT const struct mesh_group_info *mesh_groups_get(const struct mesh_groups *groups, size_t index);
MESH_EXPORT void mesh_groups_free(struct mesh_groups *groups);

struct mesh_group_member_info {
    const char *id, *instance, *client, *host, *zone;
    uint32_t session_ms, partitions, joined_in; /* joined_in: generation */
};
struct mesh_group_partition_info {
    const char *topic; /* "": the topic was deleted; then topic_id alone tells */
    char topic_id[37];
    int32_t partition;
    int64_t committed, high_watermark, lag; /* -1: none, not known */
    const char *owner, *target;             /* ids of members, "": nobody */
    int64_t committed_ms;                   /* wall clock, 0: never */
    int64_t high_watermark_age_ms;          /* -1: not known */
};
struct mesh_group_description {
    struct mesh_group_info info;
    int32_t coordinator; /* node id of the broker that leads the group's partition; -1: none, or not known */
    const struct mesh_group_member_info *members;
    size_t member_count;
    int has_members; /* 0: the answering broker does not know who they are */
    const struct mesh_group_partition_info *partitions;
    size_t partition_count;
};
struct mesh_group_details; /* owns what its description points to */
/* Errors: MESH_ENOTFOUND, ... */
MESH_EXPORT int mesh_group_describe(struct mesh_client *client, const char *group, struct mesh_group_details **ret_details);
MESH_EXPORT const struct mesh_group_description *mesh_group_description(const struct mesh_group_details *details);
MESH_EXPORT void mesh_group_details_free(struct mesh_group_details *details);

/* Where a group shall stand. In: topic, partition, offset. Out: before (-1: nothing was committed) and error. */
struct mesh_group_offset {
    const char *topic;
    int32_t partition;
    int64_t offset, before;
    int error;
};

/* An operator sets offsets: all, or, where one is refused, none. is_forced: also of partitions that members consume, who then go on from there; is_dry: says what
 * would be. Errors: MESH_ENOTFOUND (no such group), MESH_EGROUP_NOT_EMPTY, else the first offset's. */
MESH_EXPORT int mesh_group_reset(struct mesh_client *client, const char *group, struct mesh_group_offset *offsets, size_t offset_count, int is_forced,
                                 int is_dry);
/* What a group has committed of a topic is forgotten, or, with topic NULL, the group. Errors: MESH_ENOTFOUND, MESH_EGROUP_NOT_EMPTY. */
MESH_EXPORT int mesh_group_delete(struct mesh_client *client, const char *group, const char *topic);

#ifdef __cplusplus
}
#endif
#endif
