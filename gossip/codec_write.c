#include "gossip/codec.h"

#include "base/assert.h"
#include "base/bytes.h"

void codec_start(struct item_writer *writer, void *room, size_t size)
{
    MESH_ASSERT(size > 0);
    writer->start = writer->at = room;
    writer->end = writer->start + size;
    *writer->at++ = CODEC_VERSION;
}

/* The head of an item whose body takes `size` bytes; returns where the body goes, or NULL. */
static uint8_t *begin(struct item_writer *writer, enum item_type type, size_t size)
{
    uint8_t *body;

    if ((size_t)(writer->end - writer->at) < 1 + varint_size(size) + size) return NULL;
    *writer->at = (uint8_t)type;
    body = varint_encode(writer->at + 1, size);
    writer->at = body + size;
    return body;
}

static uint8_t *store_uuid(uint8_t *to, const struct uuid *uuid)
{
    memcpy(to, uuid->bytes, UUID_SIZE);
    return to + UUID_SIZE;
}

static uint8_t *store_address(uint8_t *to, const struct net_address *address)
{
    memcpy(to, address->ip, 16);
    le_store16(to + 16, address->port);
    return to + 18;
}

bool codec_put_ping(struct item_writer *writer, uint32_t seq, const struct uuid *target)
{
    uint8_t *at = begin(writer, ITEM_PING, 4 + UUID_SIZE);

    if (at == NULL) return false;
    le_store32(at, seq);
    store_uuid(at + 4, target);
    return true;
}

bool codec_put_seq(struct item_writer *writer, enum item_type type, uint32_t seq)
{
    uint8_t *at = begin(writer, type, 4);

    if (at == NULL) return false;
    le_store32(at, seq);
    return true;
}

bool codec_put_ping_req(struct item_writer *writer, uint32_t seq, uint16_t timeout_ms, const struct uuid *target,
                        const struct net_address *address)
{
    uint8_t *at = begin(writer, ITEM_PING_REQ, 6 + UUID_SIZE + 18);

    if (at == NULL) return false;
    le_store32(at, seq);
    le_store16(at + 4, timeout_ms);
    store_address(store_uuid(at + 6, target), address);
    return true;
}

bool codec_put_frontier(struct item_writer *writer, const struct gossip_frontier *frontier)
{
    uint8_t *at = begin(writer, ITEM_FRONTIER, varint_size(frontier->term) + varint_size(frontier->index) + 8);

    if (at == NULL) return false;
    at = varint_encode(at, frontier->term);
    at = varint_encode(at, frontier->index);
    le_store64(at, frontier->chain);
    return true;
}

bool codec_put_digest(struct item_writer *writer, uint64_t members, uint64_t soft)
{
    uint8_t *at = begin(writer, ITEM_DIGEST, 16);

    if (at == NULL) return false;
    le_store64(at, members);
    le_store64(at + 8, soft);
    return true;
}

bool codec_put_alive(struct item_writer *writer, struct slice raw, const uint8_t signature[GOSSIP_SIGNATURE])
{
    uint8_t *at = begin(writer, ITEM_ALIVE, raw.size + GOSSIP_SIGNATURE);

    if (at == NULL) return false;
    memcpy(at, raw.data, raw.size);
    memcpy(at + raw.size, signature, GOSSIP_SIGNATURE);
    return true;
}

bool codec_put_accusation(struct item_writer *writer, enum item_type type, const struct uuid *subject,
                          uint64_t incarnation, uint32_t age_s, const struct uuid *accusers, uint8_t accuser_count)
{
    uint8_t *at = begin(writer, type, UUID_SIZE + 8 + varint_size(age_s) + 1 + accuser_count * (size_t)UUID_SIZE);

    MESH_ASSERT(accuser_count <= SUSPICION_ACCUSERS_MAX);
    if (at == NULL) return false;
    at = store_uuid(at, subject);
    le_store64(at, incarnation);
    at = varint_encode(at + 8, age_s);
    *at++ = accuser_count;
    for (unsigned i = 0; i < accuser_count; i++)
        at = store_uuid(at, &accusers[i]);
    return true;
}

bool codec_put_left(struct item_writer *writer, const struct uuid *subject, uint64_t incarnation, uint32_t age_s,
                    const uint8_t signature[GOSSIP_SIGNATURE])
{
    uint8_t *at = begin(writer, ITEM_LEFT, UUID_SIZE + 8 + varint_size(age_s) + GOSSIP_SIGNATURE);

    if (at == NULL) return false;
    at = store_uuid(at, subject);
    le_store64(at, incarnation);
    at = varint_encode(at + 8, age_s);
    memcpy(at, signature, GOSSIP_SIGNATURE);
    return true;
}

bool codec_put_gone(struct item_writer *writer, const struct uuid *subject, uint64_t incarnation)
{
    uint8_t *at = begin(writer, ITEM_GONE, UUID_SIZE + 8);

    if (at == NULL) return false;
    le_store64(store_uuid(at, subject), incarnation);
    return true;
}

bool codec_put_who(struct item_writer *writer)
{
    return begin(writer, ITEM_WHO, 0) != NULL;
}

bool codec_put_observed(struct item_writer *writer, const struct net_address *address)
{
    uint8_t *at = begin(writer, ITEM_OBSERVED, 18);

    if (at == NULL) return false;
    store_address(at, address);
    return true;
}

bool codec_put_serial(struct item_writer *writer, enum item_type type, uint64_t serial)
{
    uint8_t *at = begin(writer, type, 8);

    if (at == NULL) return false;
    le_store64(at, serial);
    return true;
}

bool codec_put_sync(struct item_writer *writer, bool wants_reply)
{
    uint8_t *at = begin(writer, ITEM_SYNC, 1);

    if (at == NULL) return false;
    *at = wants_reply;
    return true;
}

#define SOFT_HEAD   (UUID_SIZE + 29)
#define SOFT_LENGTH 3 /* bytes that the length of a SOFT item takes, always */

bool codec_soft_begin(struct item_writer *writer, struct soft_writer *ret_soft)
{
    if (writer->end - writer->at < 1 + SOFT_LENGTH + SOFT_HEAD) return false;
    ret_soft->writer = writer;
    ret_soft->body = writer->at + 1 + SOFT_LENGTH;
    ret_soft->entries = ret_soft->body + SOFT_HEAD;
    writer->at = ret_soft->entries;
    return true;
}

bool codec_soft_put(struct soft_writer *soft, const struct soft_change *change)
{
    size_t size = varint_size(change->version) + 2 + change->key.size + varint_size(change->value.size) +
                  change->value.size;
    uint8_t *at = soft->writer->at;

    if ((size_t)(soft->writer->end - at) < size) return false;
    at = varint_encode(at, change->version);
    *at++ = change->is_deleted;
    *at++ = (uint8_t)change->key.size;
    if (change->key.size > 0) memcpy(at, change->key.data, change->key.size);
    at = varint_encode(at + change->key.size, change->value.size);
    if (change->value.size > 0) memcpy(at, change->value.data, change->value.size);
    soft->writer->at = at + change->value.size;
    return true;
}

void codec_soft_end(struct soft_writer *soft, const struct item_soft *head)
{
    size_t size = (size_t)(soft->writer->at - soft->body);
    uint8_t *at = soft->body - 1 - SOFT_LENGTH;

    if (head->from == head->to && !head->is_reset) {
        soft->writer->at = at;
        return;
    }
    MESH_ASSERT(size < 1u << 21);
    *at++ = ITEM_SOFT;
    /* The length was not known when its place was kept: a varint padded to three bytes. */
    *at++ = (uint8_t)(size | 0x80);
    *at++ = (uint8_t)(size >> 7 | 0x80);
    *at++ = (uint8_t)(size >> 14);
    at = store_uuid(at, &head->origin);
    le_store32(at, head->boot);
    at[4] = head->is_reset;
    le_store64(at + 5, head->from);
    le_store64(at + 13, head->to);
    le_store64(at + 21, head->gc_version);
}

uint8_t *codec_put_summaries(struct item_writer *writer, size_t count)
{
    return begin(writer, ITEM_SOFT_DIGEST, count * CODEC_SOFT_SUMMARY);
}

uint8_t *codec_summary_put(uint8_t *to, const struct soft_summary *summary)
{
    to = store_uuid(to, &summary->origin);
    le_store32(to, summary->boot);
    le_store64(to + 4, summary->version);
    le_store64(to + 12, summary->gc_version);
    return to + 20;
}

static uint8_t *store_text(uint8_t *to, const char *text)
{
    size_t size = strlen(text);

    *to++ = (uint8_t)size;
    memcpy(to, text, size);
    return to + size;
}

size_t codec_self_encode(const struct gossip_self *self, uint8_t to[CODEC_SELF_MAX])
{
    uint8_t *at = store_uuid(to, &self->id);

    le_store64(at, self->incarnation);
    at = store_uuid(at + 8, &self->dir_id);
    at = store_address(at, &self->address);
    le_store16(at, self->client_port);
    memcpy(at + 2, self->public_key, GOSSIP_PUBLIC_KEY);
    at = store_text(at + 2 + GOSSIP_PUBLIC_KEY, self->name);
    at = store_text(at, self->zone);
    at = store_text(at, self->host);
    return (size_t)(at - to);
}

size_t codec_signed_self(struct slice raw, uint8_t to[CODEC_SIGNED_MAX])
{
    to[0] = CODEC_SIGNS_SELF;
    memcpy(to + 1, raw.data, raw.size);
    return raw.size + 1;
}

size_t codec_signed_leave(const struct uuid *id, uint64_t incarnation, uint8_t to[CODEC_SIGNED_MAX])
{
    to[0] = CODEC_SIGNS_LEAVE;
    le_store64(store_uuid(to + 1, id), incarnation);
    return 1 + UUID_SIZE + 8;
}
