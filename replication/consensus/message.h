/* consensus/message.h - what servers of consensus say to each other, and its bytes (PROTOCOL.md).
 *
 * A decoder reads and checks a message to its end before anything of it is acted on; it allocates nothing, and what it
 * returns points into the message. Entries are walked with message_next_entry() after that. */
#ifndef CONSENSUS_MESSAGE_H
#define CONSENSUS_MESSAGE_H

#include "base/buffer.h"
#include "base/codec.h"
#include "replication/consensus/raft.h"

#define MESSAGE_TOLD_MAX (2 * RAFT_SERVERS_MAX) /* claims of others in one append */

/* On the wire: never renumber, never reuse. */
enum message_type {
    MESSAGE_VOTE_REQUEST = 1,
    MESSAGE_VOTE_RESPONSE = 2,
    MESSAGE_APPEND = 3,
    MESSAGE_APPEND_RESPONSE = 4,
    MESSAGE_SNAPSHOT = 5,
    MESSAGE_SNAPSHOT_RESPONSE = 6,
    MESSAGE_TIMEOUT_NOW = 7,
    MESSAGE_PRESENCE = 8,
};

/* Bits of `flags`; what each means depends on the type. */
enum {
    MESSAGE_PRE_VOTE = 1,   /* vote request, response: asks without raising the term */
    MESSAGE_TRANSFER = 2,   /* vote request: the leader wants it, so its being heard is no reason to refuse */
    MESSAGE_GRANTED = 4,    /* vote response */
    MESSAGE_QUIET = 8,      /* append: needs no answer if it fits, before it is durable; presence: is an answer */
    MESSAGE_REJECTED = 16,  /* append response: previous does not fit; snapshot response: begin again */
    MESSAGE_DAMAGED = 32,   /* append response: there is a hole, count nothing */
    MESSAGE_CORRUPT = 64,   /* append response: previous fits, but its chain does not */
    MESSAGE_CONNECTED = 128, /* presence: the sender hears a majority that hears it */
    MESSAGE_HEARS_YOU = 256, /* presence */
    MESSAGE_LAST = 512,     /* snapshot: the last chunk; response: it is all there */
    MESSAGE_VOTED = 1024,       /* any: the sender has voted in the term of its claim */
    MESSAGE_KNOWN_VOTED = 2048, /* any: the receiver has, in the term of `known` */
    MESSAGE_VOUCHED_VOTED = 4096, /* any: the sender had, in the term of `vouched` */
    MESSAGE_FLAGS_ALL = 8191,
};

struct message {
    enum message_type type;
    struct raft_server to, from;
    uint64_t term;
    uint32_t flags;
    struct raft_claim claim;       /* of the sender about its disk; life 0: lives are not compared, and the next two are not there */
    struct raft_claim vouched;     /* of the life of the sender that the receiver knows of, as the sender was told: what that left on the disk */
    struct raft_claim known;       /* of the receiver, as the sender knows it; life 0: nothing */
    const struct raft_other *told; /* append: what the leader heard of others; to be encoded */
    uint32_t told_count;
    struct slice told_bytes;       /* decoded: message_next_told() */
    uint64_t sequence;             /* append: of the leader's messages, rising; its response: the newest one seen */
    struct raft_position position; /* vote request: the candidate's last entry (no chain). Append: what comes before the
                                      entries. Snapshot: where it ends. TimeoutNow: the leader's last (no chain) */
    uint64_t committed;            /* append */
    uint32_t entry_count;          /* append */
    struct slice entries;          /* append: their bytes */
    uint8_t chain[RAFT_CHAIN_SIZE]; /* append: after the last of the entries */
    uint64_t match;                /* append response: durable, and equal to the leader's log, up to there */
    uint64_t hint_index, hint_term; /* rejected: there the logs may fit */
    uint64_t offset, total;        /* snapshot; its response: the offset wanted next */
    uint32_t crc;                  /* snapshot: of the bytes */
    struct slice bytes;            /* snapshot */
    struct raft_config config;     /* snapshot */
};

/* Appends the message without entries: an append's follow with message_put_entry(), exactly entry_count. Errors: MESH_ENOMEM. */
int message_encode(const struct message *message, struct buffer *to);
int message_put_entry(const struct raft_entry *entry, struct buffer *to);
size_t message_entry_size(const struct raft_entry *entry); /* bytes that it takes, at most */

/* Errors: MESH_EPROTO (malformed), MESH_EVERSION, MESH_ETOOLARGE. *ret_message is then undefined. */
int message_decode(struct slice from, struct message *ret_message);

/* Of a decoded append: takes the next of what is told of others off the slice `told_bytes`. False: none is left. */
bool message_next_told(struct slice *told_bytes, struct raft_other *ret_other);

/* Of a decoded append: takes the next entry (index and chain not set) off the slice `entries`. False: none is left. */
bool message_next_entry(struct slice *entries, struct raft_entry *ret_entry);

#endif
