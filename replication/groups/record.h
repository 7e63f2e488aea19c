/* groups/record.h - the records of a group partition's log, and their bytes (FORMAT.md).
 *
 * A record is a fact: whoever led the partition found it legal and appended it. What a record says holds from its place in the log on;
 * heartbeats and liveness are no facts and never get here. Pure; any thread. */
#ifndef GROUPS_RECORD_H
#define GROUPS_RECORD_H

#include "base/codec.h"

#define GROUP_NAME_SIZE_MAX     255          /* bytes, of groups, members, instances, clients, hosts, zones and of who asks for a reset */
#define GROUP_PATTERN_SIZE_MAX  256          /* bytes */
#define GROUP_TOPIC_NAME_MAX    249          /* bytes */
#define GROUP_NAMES_MAX         1000         /* topics that a member subscribes to by name */
#define GROUP_METADATA_SIZE_MAX 4096         /* bytes beside a committed offset: as Kafka's default */
#define GROUP_MEMBERS_MAX       1000         /* of one group */
#define GROUP_ITEMS_MAX         100000       /* partitions in one record */
#define GROUP_RECORD_SIZE_MAX   (768 * 1024) /* bytes: fits a record batch of the default 1 MiB */
#define GROUP_OFFSET_MAX        INT64_MAX

enum group_record_kind {
    GROUP_CREATED = 1,     /* a group begins: before it no record names it */
    GROUP_JOINED,          /* a member comes, or one changes what it wants; or takes a static member's place */
    GROUP_LEFT,            /* a member is gone: what it claimed is free */
    GROUP_ASSIGNED,        /* a generation: who shall own which partition */
    GROUP_CLAIMED,         /* a member begins to consume these partitions (the fence and the lock) */
    GROUP_RELEASED,        /* a member has ended consuming them, or was made to */
    GROUP_COMMITTED,       /* offsets, by the claimant or by a consumer outside of groups */
    GROUP_RESET,           /* offsets, by an operator: claims on them end */
    GROUP_CELLS_DELETED,   /* offsets are forgotten */
    GROUP_DELETED,         /* the group with all its offsets */
    GROUP_FENCED,          /* after an unclean election: no generation of before is ever met again */
    GROUP_CHECKPOINT_BEGAN,/* what follows, up to the end, tells the whole state: the log may start here */
    GROUP_IMAGE,           /* the group itself: its members and topics follow */
    GROUP_IMAGE_MEMBER,
    GROUP_IMAGE_TOPIC,     /* targets and claims */
    GROUP_IMAGE_CELLS,
    GROUP_CHECKPOINT_ENDED,
    GROUP_SALVAGED,        /* the log had lost the end of the checkpoint that it starts at: what its leader has of it is told in the next one */
    GROUP_CLASSIC,       /* a generation of the classic protocol: its members, what they said and were assigned; or that there are none any more */
    GROUP_IMAGE_CLASSIC, /* the same, behind the group's image */
    GROUP_RECORD_KINDS,
};

enum group_protocol {
    GROUP_PROTOCOL_MESH,    /* assigned here, incrementally, claims fence (as KIP-848) */
    GROUP_PROTOCOL_CLASSIC, /* assigned by a member, generations fence (Kafka's JoinGroup and SyncGroup) */
    GROUP_PROTOCOLS,
};

enum group_strategy {
    GROUP_STICKY, /* balanced, and as few partitions as possible change hands */
    GROUP_RANGE,  /* per topic a run of neighbours each (the seeds' algorithm) */
    GROUP_ROUND_ROBIN,
    GROUP_ZONE,   /* sticky, and near the partition's leader where that stays balanced */
    GROUP_STRATEGIES,
};

enum group_reason {
    GROUP_ASKED,      /* who is concerned asked for it */
    GROUP_EXPIRED,    /* nothing was heard for too long */
    GROUP_OVERDUE,    /* it was not released within the declared limit */
    GROUP_TOPIC_GONE,
    GROUP_REASONS,
};

/* What a member says of itself. Slices borrow from whoever made it. */
struct group_member_info {
    struct slice id;         /* 1 byte or more; never used again once it has left */
    struct slice replaces;   /* id of the member whose targets it takes over (KIP-345), or empty */
    struct slice instance;   /* static membership: the name that survives restarts; or empty */
    struct slice client;     /* for people; or empty */
    struct slice host;       /* for people; or empty */
    struct slice zone;       /* or empty */
    struct slice pattern;    /* an extended regular expression for topic names; or empty: names */
    struct slice names;      /* name_count topic names: group_names_put(), group_names_next() */
    uint32_t name_count;
    uint32_t session_timeout_ms;
    uint32_t processing_limit_ms; /* how long it may take to release what it is asked for */
    enum group_strategy strategy;
};

struct group_record {
    enum group_record_kind kind;
    struct slice group;            /* all but FENCED and the ends of checkpoints */
    struct slice member;           /* LEFT, CLAIMED, RELEASED, COMMITTED: id; empty in COMMITTED: nobody's. RESET: who asked for it */
    struct group_member_info info; /* JOINED, IMAGE_MEMBER; member is its id, too */
    enum group_protocol protocol;  /* CREATED, IMAGE */
    enum group_strategy strategy;  /* ASSIGNED, IMAGE */
    enum group_reason reason;      /* LEFT, RELEASED, CELLS_DELETED, DELETED */
    uint32_t generation;           /* ASSIGNED: the new one. CLAIMED: the present. IMAGE_MEMBER: that of its joining. IMAGE. CLASSIC, IMAGE_CLASSIC: the members' */
    uint32_t reset_epoch;          /* IMAGE */
    uint64_t time_ms;              /* CREATED, LEFT, COMMITTED, RESET; IMAGE: since when it is empty, 0: it is not. Wall clock, for expiry alone */
    uint32_t losses;               /* FENCED, CHECKPOINT_BEGAN, SALVAGED: groups_losses() */
    uint64_t hash;                 /* IMAGE: of what follows but for the cells; CHECKPOINT_ENDED: number of groups */
    struct uuid topic;             /* IMAGE_TOPIC */
    struct slice members;          /* ASSIGNED, IMAGE_TOPIC: member_count ids, as names are */
    uint32_t member_count;
    struct slice classic;          /* CLASSIC, IMAGE_CLASSIC: classic_image.h; checked when it was decoded */
    struct slice items;            /* lists of partitions: group_items_*(); checked when it was decoded */
};

/* ---- lists of names ---- */

int group_names_put(struct buffer *names, struct slice name);

/* Takes the first name off; false at the end. The list came from a decoded record or from group_names_put(). */
bool group_names_next(struct slice *names, struct slice *ret_name);

/* ---- lists of partitions ---- */

/* What stands beside a partition in the list. */
enum group_item_form {
    GROUP_ITEMS_PLAIN,   /* CLAIMED, RELEASED, CELLS_DELETED */
    GROUP_ITEMS_OFFSETS, /* COMMITTED, RESET */
    GROUP_ITEMS_CELLS,   /* IMAGE_CELLS */
    GROUP_ITEMS_TARGETS, /* ASSIGNED: runs of partitions from 0 on */
    GROUP_ITEMS_CLAIMS,  /* IMAGE_TOPIC: the same, with claims */
};

struct group_item {
    struct uuid topic;
    uint32_t partition;
    uint32_t run;           /* partitions for which this holds, from `partition` on; 1 but in TARGETS and CLAIMS */
    uint64_t offset;        /* OFFSETS, CELLS: the next to be consumed */
    int32_t record_epoch;   /* OFFSETS, CELLS: leader epoch of the record before it (KIP-320), -1: unknown */
    struct slice metadata;  /* OFFSETS, CELLS */
    uint32_t version_epoch; /* CELLS: leader epoch and place of the record that committed it */
    uint64_t version_lsn;
    uint32_t committed_s;   /* CELLS: wall clock, seconds */
    uint32_t target;        /* TARGETS, CLAIMS: 1 + place in the record's members; 0: nobody */
    uint32_t owner;         /* CLAIMS: likewise */
    uint32_t claimed_in;    /* CLAIMS: generation of the claim */
};

struct group_items_writer {
    struct codec_writer writer;
    enum group_item_form form;
    struct uuid topic;
    bool has_topic;
    uint32_t count;
};

/* Writes behind what `to` holds. The error, if any, stands in writer.writer.error at the end. */
struct group_items_writer group_items_write(struct buffer *to, enum group_item_form form);
void group_items_put(struct group_items_writer *writer, const struct group_item *item);

struct group_items_reader {
    struct codec_reader reader;
    enum group_item_form form;
    struct uuid topic;
    bool has_topic;
    uint32_t next; /* TARGETS, CLAIMS: partition of the next run */
};

struct group_items_reader group_items_read(const struct group_record *record);
bool group_items_next(struct group_items_reader *reader, struct group_item *ret_item); /* false at the end */

/* ---- records ---- */

/* Appends the record's bytes. Errors: MESH_ENOMEM, MESH_ETOOLARGE (longer than GROUP_RECORD_SIZE_MAX); `to` is then as before. */
int group_record_encode(const struct group_record *record, struct buffer *to);

/* *ret_record borrows from `from`. Every limit above has been checked, lists to their end.
 * Errors: MESH_EVERSION (a newer version, or a kind from the future), MESH_ECORRUPT. */
int group_record_decode(struct slice from, struct group_record *ret_record);

/* 1 to 255 bytes of UTF-8 without control characters. Errors: MESH_EINVALID_GROUP. */
int group_name_check(struct slice name);

#endif
