/* metadata/message.h - what metadata nodes say to each other over a peer link, as bytes and back. Bytes: PROTOCOL.md.
 *
 * Pure functions; any thread. Encoders append one whole message: MESH_ENOMEM (the buffer is then unchanged). The decoder takes exactly one
 * message; what it returns points into the bytes. Errors: MESH_EPROTO. Every count and size is bounded before it is used. */
#ifndef METADATA_MESSAGE_H
#define METADATA_MESSAGE_H

#include "base/buffer.h"
#include "replication/metadata/node.h"

#define NODE_SUGGESTIONS_MAX 4
#define NODE_DEPTH_ADRIFT    8    /* links between a broker and the next server of consensus: so many or more is not connected at all */
#define NODE_DRAINING        1u   /* flags of a heartbeat */
#define NODE_DISK_FAILED     2u
#define NODE_DRAIN_WANTED    4u   /* somebody wants it to lead nothing, though it stays */
#define NODE_EMPTY_WANTED    8u   /* somebody wants it to keep no replicas: it will be taken out */
#define NODE_LEVEL_SHIFT     8    /* of the level (coordinator/record.h) that the sender speaks; 0: a version that did not say it, level 1 */
#define NODE_ENTRY_OVERHEAD  24   /* bytes that an entry takes in a message beside its body, at most */
#define NODE_RESULT_MAX      (128u << 10) /* of a request about many partitions: node_decode_results() */
#define NODE_REQUEST_BODY_MAX (NODE_REQUEST_MAX + (64u << 10)) /* a request's body with what the origin adds to it */
/* How far from the oldest request that an origin waits for lie the others that it sends. While that one waits, less than twice as many others can be
 * decided: the image remembers it (requests.c). */
#define NODE_REQUEST_WINDOW   (IMAGE_REQUESTS_MAX / 2)

/* Numbers are on the wire: never renumber, never reuse. */
enum node_message_type {
    NODE_MESSAGE_HERE = 1,        /* who coordinates, and how far the sender is: at link up, and when the coordinator changes */
    NODE_MESSAGE_PULL = 2,        /* a standing request: send me what follows `position` as soon as it is there */
    NODE_MESSAGE_ENTRIES = 3,     /* answers it */
    NODE_MESSAGE_CHUNK = 4,       /* answers it, or PULL_CHUNK: a part of a snapshot, from its beginning on */
    NODE_MESSAGE_PULL_CHUNK = 5,  /* the next part of it, please */
    NODE_MESSAGE_TURNED_AWAY = 6, /* ends a standing request unanswered */
    NODE_MESSAGE_HEARTBEAT = 7,   /* to the coordinator */
    NODE_MESSAGE_PULSE = 8,       /* answers it */
    NODE_MESSAGE_REQUEST = 9,     /* to the coordinator */
    NODE_MESSAGE_ANSWER = 10,     /* answers it */
    NODE_MESSAGE_STANDING = 11,   /* the request to pull stands; nothing to send yet */
    NODE_MESSAGE_RECOVER = 12,    /* `bytes` are replication/recover's */
    NODE_MESSAGE_REMOVED = 13,    /* the mesh has removed the receiver for good */
};

enum node_refusal {
    NODE_REFUSAL_FULL = 1,     /* feeds as many as it may: ask those suggested */
    NODE_REFUSAL_ADRIFT = 2,   /* is not connected to consensus itself, or would be through the asking one */
    NODE_REFUSAL_CONTRADICTS = 3, /* has another entry at `position`: two histories. Stop and alarm */
    NODE_REFUSAL_BROKEN = 4,   /* cannot read its snapshot, or is leaving */
};

enum node_verdict {
    NODE_VERDICT_DECIDED = 1,   /* `error` and the rest are the answer; it holds from `index` on */
    NODE_VERDICT_ELSEWHERE = 2, /* not the coordinator of that term (any more): what became of the request is not known here. See `leader` */
    NODE_VERDICT_BUSY = 3,      /* the coordinator cannot take it now; send it again later */
};

struct node_message {
    enum node_message_type type;
    /* HERE, PULSE, ANSWER: whom the sender takes for the coordinator, in which term; zero: it knows none. An ANSWER that is DECIDED: the sender,
     * in the term in which it decided. REQUEST: the term of the coordinator that is asked. */
    uint64_t term;
    struct raft_server leader;
    uint32_t depth;                 /* HERE, STANDING, ENTRIES: 0 for a server of consensus, otherwise 1 more than its upstream's */
    uint64_t committed;             /* HERE, STANDING, ENTRIES, PULSE: the last entry that the sender knows to be committed */
    uint64_t serial;                /* of the standing request: PULL, ENTRIES, CHUNK, PULL_CHUNK, TURNED_AWAY, STANDING */
    struct raft_position position;  /* PULL (its term is not said), CHUNK, PULL_CHUNK (index only), TURNED_AWAY (contradicts: index and chain there) */
    uint64_t first_index;           /* ENTRIES */
    struct slice entries;           /* ENTRIES: see node_entry_next() */
    uint8_t chain[RAFT_CHAIN_SIZE]; /* ENTRIES: of the last one */
    struct raft_config config;      /* CHUNK */
    uint64_t offset, total;         /* CHUNK, PULL_CHUNK (offset) */
    uint64_t history;               /* REMOVED: in which the sender is; committed: how far */
    struct slice bytes;             /* CHUNK; RECOVER; REQUEST: the body; ANSWER: the sentence */
    enum node_refusal refusal;      /* TURNED_AWAY */
    struct uuid suggestions[NODE_SUGGESTIONS_MAX];
    size_t suggestion_count;
    uint64_t boot;                  /* HEARTBEAT, REQUEST, ANSWER: of the origin */
    uint64_t applied;               /* HEARTBEAT */
    uint32_t flags;                 /* HEARTBEAT */
    struct node_load load;          /* HEARTBEAT */
    uint64_t sequence;              /* REQUEST, ANSWER: with origin and boot, the request's id */
    uint64_t oldest;                /* REQUEST: the first one that the origin still waits for; less than NODE_REQUEST_WINDOW before this one */
    uint16_t op;                    /* REQUEST */
    enum node_verdict verdict;      /* ANSWER */
    int error;
    uint64_t index;
    struct uuid topic_id;
    int64_t first_id;
    uint32_t id_count;
    struct slice result;            /* ANSWER: what became of the parts of a request; "" */
    bool is_coordinator;            /* PULSE: the sender leads; otherwise it only says who does */
};

/* Any type but ENTRIES. */
int node_message_encode(struct buffer *to, const struct node_message *message);
int node_message_decode(struct slice from, struct node_message *ret_message);

/* ENTRIES: begin, then entries without gaps from first_index on, then end with the last one's chain. */
int node_entries_begin(struct buffer *to, const struct node_message *message);
int node_entries_add(struct buffer *to, const struct raft_entry *entry);
int node_entries_end(struct buffer *to, const uint8_t chain[RAFT_CHAIN_SIZE]);

/* The next entry of message->entries; its index and chain are the caller's to fill. False: no more. Cannot fail after the decoder looked. */
bool node_entry_next(struct slice *entries, struct raft_entry *ret_entry);

#endif
