/* gossip/codec.h - packets and messages as bytes: a version and a run of items (PROTOCOL.md).
 *
 * An item is a type, a length and a body; types that this version does not know are skipped by their length, and a
 * body may be longer than what is known of it. What decodes points into the bytes that were read. */
#ifndef GOSSIP_CODEC_H
#define GOSSIP_CODEC_H

#include "gossip/gossip.h"
#include "gossip/suspicion.h"

#define CODEC_VERSION      1
#define CODEC_SELF_MAX     640 /* bytes of an encoded gossip_self, with room for what later versions add */
#define CODEC_SIGNED_MAX   (CODEC_SELF_MAX + 1)
#define CODEC_SOFT_SUMMARY 36 /* bytes of one origin in a SOFT_DIGEST */

enum item_type {
    ITEM_PING = 1,
    ITEM_ACK = 2,
    ITEM_PING_REQ = 3,
    ITEM_NACK = 4,
    ITEM_RELAYED_ACK = 5,
    ITEM_FRONTIER = 6,
    ITEM_DIGEST = 7,
    ITEM_ALIVE = 8,
    ITEM_SUSPECT = 9,
    ITEM_DEAD = 10,
    ITEM_LEFT = 11,
    ITEM_GONE = 12,
    ITEM_WHO = 13,
    ITEM_OBSERVED = 14,
    ITEM_MAIL = 15,
    ITEM_MAIL_ACK = 16,
    ITEM_SYNC = 17,
    ITEM_SOFT = 18,
    ITEM_SOFT_DIGEST = 19,
};

struct item_soft {
    struct uuid origin;
    uint32_t boot;
    uint64_t from, to; /* of what versions the entries are the changes: (from, to] */
    uint64_t gc_version;
    bool is_reset;        /* forget all of this origin first */
    struct slice entries; /* codec_soft_next() reads them */
};

struct soft_change {
    uint64_t version;
    bool is_deleted;
    struct slice key, value;
};

struct soft_summary {
    struct uuid origin;
    uint32_t boot;
    uint64_t version, gc_version;
};

struct item {
    uint8_t type;
    union {
        uint32_t seq; /* ACK, NACK, RELAYED_ACK */
        struct {
            uint32_t seq;
            struct uuid target;
        } ping;
        struct {
            uint32_t seq;
            uint16_t timeout_ms; /* how long the asker waits */
            struct uuid target;
            struct net_address address;
        } ping_req;
        struct gossip_frontier frontier;
        struct {
            uint64_t members, soft;
        } digest;
        struct {
            struct uuid id;
            uint64_t incarnation;
            struct slice raw;         /* the encoded gossip_self, see codec_self_decode() */
            const uint8_t *signature; /* of raw behind the byte CODEC_SIGNS_SELF */
        } alive;
        struct {
            struct uuid subject;
            uint64_t incarnation;
            uint32_t age_s; /* how long it has been so; 0 for SUSPECT */
            uint8_t accuser_count;
            struct uuid accusers[SUSPICION_ACCUSERS_MAX];
        } accusation; /* SUSPECT, DEAD */
        struct {
            struct uuid subject;
            uint64_t incarnation;
            uint32_t age_s;
            const uint8_t *signature;
        } left;
        struct {
            struct uuid subject;
            uint64_t incarnation;
        } gone;
        struct net_address observed;
        uint64_t serial;      /* MAIL, MAIL_ACK */
        bool wants_reply;     /* SYNC */
        struct item_soft soft;
        struct slice summaries; /* SOFT_DIGEST: CODEC_SOFT_SUMMARY bytes each */
    };
};

/* ---- reading ---- */

struct item_reader {
    const uint8_t *at, *end;
    bool is_sound; /* it was read to its end before: entries of soft state need no second look */
};

/* Errors: MESH_EVERSION, MESH_EPROTO. */
int codec_open(struct slice bytes, struct item_reader *ret_reader);

/* The next known item: 1, 0 at the end, MESH_EPROTO for bytes that cannot be. */
int codec_next(struct item_reader *reader, struct item *ret_item);

/* Errors: MESH_EPROTO (a name that is not text, an address or an incarnation that cannot be). */
int codec_self_decode(struct slice raw, struct gossip_self *ret_self);

/* 1, 0 at the end, MESH_EPROTO. */
int codec_soft_next(struct slice *entries, struct soft_change *ret_change);
void codec_summary_at(struct slice summaries, size_t index, struct soft_summary *ret_summary);

/* ---- writing: each writes all or, when there is no room, nothing, and says which ---- */

struct item_writer {
    uint8_t *start, *at, *end;
};

void codec_start(struct item_writer *writer, void *room, size_t size); /* writes the version */
static inline bool codec_is_empty(const struct item_writer *writer)
{
    return writer->at == writer->start + 1;
}
static inline struct slice codec_bytes(const struct item_writer *writer)
{
    return slice_of(writer->start, (size_t)(writer->at - writer->start));
}

bool codec_put_ping(struct item_writer *writer, uint32_t seq, const struct uuid *target);
bool codec_put_seq(struct item_writer *writer, enum item_type type, uint32_t seq);
bool codec_put_ping_req(struct item_writer *writer, uint32_t seq, uint16_t timeout_ms, const struct uuid *target,
                        const struct net_address *address);
bool codec_put_frontier(struct item_writer *writer, const struct gossip_frontier *frontier);
bool codec_put_digest(struct item_writer *writer, uint64_t members, uint64_t soft);
bool codec_put_alive(struct item_writer *writer, struct slice raw, const uint8_t signature[GOSSIP_SIGNATURE]);
bool codec_put_accusation(struct item_writer *writer, enum item_type type, const struct uuid *subject,
                          uint64_t incarnation, uint32_t age_s, const struct uuid *accusers, uint8_t accuser_count);
bool codec_put_left(struct item_writer *writer, const struct uuid *subject, uint64_t incarnation, uint32_t age_s,
                    const uint8_t signature[GOSSIP_SIGNATURE]);
bool codec_put_gone(struct item_writer *writer, const struct uuid *subject, uint64_t incarnation);
bool codec_put_who(struct item_writer *writer);
bool codec_put_observed(struct item_writer *writer, const struct net_address *address);
bool codec_put_serial(struct item_writer *writer, enum item_type type, uint64_t serial);
bool codec_put_sync(struct item_writer *writer, bool wants_reply);

/* A SOFT item whose entries are added one by one. begin() reserves the head; an entry that does not fit is refused;
 * end() writes the head with what is then known (`to`), or takes the item back when it would say nothing. */
struct soft_writer {
    struct item_writer *writer;
    uint8_t *body, *entries;
};
bool codec_soft_begin(struct item_writer *writer, struct soft_writer *ret_soft);
bool codec_soft_put(struct soft_writer *soft, const struct soft_change *change);
void codec_soft_end(struct soft_writer *soft, const struct item_soft *head);

/* Room for `count` summaries, to be filled with codec_summary_put(); NULL when there is none. */
uint8_t *codec_put_summaries(struct item_writer *writer, size_t count);
uint8_t *codec_summary_put(uint8_t *to, const struct soft_summary *summary);

/* ---- what is signed ---- */

enum { CODEC_SIGNS_SELF = 1, CODEC_SIGNS_LEAVE = 2 };

/* Returns the bytes written to `to`. */
size_t codec_self_encode(const struct gossip_self *self, uint8_t to[CODEC_SELF_MAX]);
size_t codec_signed_self(struct slice raw, uint8_t to[CODEC_SIGNED_MAX]);
size_t codec_signed_leave(const struct uuid *id, uint64_t incarnation, uint8_t to[CODEC_SIGNED_MAX]);

#endif
