#include "gossip/codec.h"

#include "base/bytes.h"
#include "base/error.h"

#define SELF_FIXED (UUID_SIZE + 8 + UUID_SIZE + 18 + 2 + GOSSIP_PUBLIC_KEY) /* before the three texts */

int codec_open(struct slice bytes, struct item_reader *ret_reader)
{
    if (bytes.size == 0) return MESH_EPROTO;
    if (bytes.data[0] != CODEC_VERSION) return MESH_EVERSION;
    *ret_reader = (struct item_reader){.at = bytes.data + 1, .end = bytes.data + bytes.size};
    return 0;
}

static struct uuid load_uuid(const uint8_t *from)
{
    struct uuid uuid;

    memcpy(uuid.bytes, from, UUID_SIZE);
    return uuid;
}

static struct net_address load_address(const uint8_t *from)
{
    struct net_address address;

    memcpy(address.ip, from, 16);
    address.port = le_load16(from + 16);
    return address;
}

static int read_frontier(const uint8_t *at, const uint8_t *end, struct item *item)
{
    at = varint_decode(at, end, &item->frontier.term);
    if (at != NULL) at = varint_decode(at, end, &item->frontier.index);
    if (at == NULL || end - at < 8) return MESH_EPROTO;
    item->frontier.chain = le_load64(at);
    return 1;
}

/* Checks the frame of a gossip_self: that every text ends inside. What the texts say is checked when it is news. */
static int read_alive(const uint8_t *at, const uint8_t *end, struct item *item)
{
    size_t raw_size = (size_t)(end - at);
    const uint8_t *text = at + SELF_FIXED;

    if (raw_size < SELF_FIXED + 3 + GOSSIP_SIGNATURE) return MESH_EPROTO;
    raw_size -= GOSSIP_SIGNATURE;
    end -= GOSSIP_SIGNATURE;
    if (raw_size > CODEC_SELF_MAX) return MESH_EPROTO;
    for (int i = 0; i < 3; i++) {
        if (text >= end || end - text < 1 + *text) return MESH_EPROTO;
        text += 1 + *text;
    }
    item->alive.id = load_uuid(at);
    item->alive.incarnation = le_load64(at + UUID_SIZE);
    item->alive.raw = slice_of(at, raw_size);
    item->alive.signature = end;
    return 1;
}

static int read_accusation(const uint8_t *at, const uint8_t *end, struct item *item)
{
    uint64_t age_s;

    item->accusation.subject = load_uuid(at);
    item->accusation.incarnation = le_load64(at + UUID_SIZE);
    at = varint_decode(at + UUID_SIZE + 8, end, &age_s);
    if (at == NULL || at == end || age_s > UINT32_MAX) return MESH_EPROTO;
    item->accusation.age_s = (uint32_t)age_s;
    item->accusation.accuser_count = *at++;
    if (item->accusation.accuser_count > SUSPICION_ACCUSERS_MAX ||
        end - at < item->accusation.accuser_count * UUID_SIZE)
        return MESH_EPROTO;
    for (unsigned i = 0; i < item->accusation.accuser_count; i++)
        item->accusation.accusers[i] = load_uuid(at + i * UUID_SIZE);
    return 1;
}

static int read_left(const uint8_t *at, const uint8_t *end, struct item *item)
{
    uint64_t age_s;

    item->left.subject = load_uuid(at);
    item->left.incarnation = le_load64(at + UUID_SIZE);
    at = varint_decode(at + UUID_SIZE + 8, end, &age_s);
    if (at == NULL || age_s > UINT32_MAX || end - at < GOSSIP_SIGNATURE) return MESH_EPROTO;
    item->left.age_s = (uint32_t)age_s;
    item->left.signature = at;
    return 1;
}

int codec_soft_next(struct slice *entries, struct soft_change *ret_change)
{
    const uint8_t *at = entries->data, *end = entries->data + entries->size;
    uint64_t value_size;

    if (entries->size == 0) return 0;
    at = varint_decode(at, end, &ret_change->version);
    if (at == NULL || end - at < 2) return MESH_EPROTO;
    ret_change->is_deleted = (at[0] & 1) != 0;
    ret_change->key.size = at[1];
    ret_change->key.data = at + 2;
    at += 2;
    if (ret_change->key.size > GOSSIP_SOFT_KEY_MAX || (size_t)(end - at) < ret_change->key.size) return MESH_EPROTO;
    at = varint_decode(at + ret_change->key.size, end, &value_size);
    if (at == NULL || value_size > GOSSIP_SOFT_VALUE_MAX || (uint64_t)(end - at) < value_size) return MESH_EPROTO;
    ret_change->value = slice_of(at, (size_t)value_size);
    at += value_size;
    *entries = slice_of(at, (size_t)(end - at));
    return 1;
}

static int read_soft(const uint8_t *at, const uint8_t *end, bool is_sound, struct item *item)
{
    struct item_soft *soft = &item->soft;
    struct soft_change change;
    struct slice entries;
    uint64_t version;
    int more;

    soft->origin = load_uuid(at);
    soft->boot = le_load32(at + UUID_SIZE);
    soft->is_reset = (at[UUID_SIZE + 4] & 1) != 0;
    soft->from = le_load64(at + UUID_SIZE + 5);
    soft->to = le_load64(at + UUID_SIZE + 13);
    soft->gc_version = le_load64(at + UUID_SIZE + 21);
    at += UUID_SIZE + 29;
    soft->entries = entries = slice_of(at, (size_t)(end - at));
    if (soft->from > soft->to || (soft->is_reset && soft->from != 0)) return MESH_EPROTO;
    if (is_sound) return 1;
    /* Oldest first, all within (from, to]: whatever prefix arrives is safe to apply. */
    version = soft->from;
    while ((more = codec_soft_next(&entries, &change)) > 0) {
        if (change.version <= version || change.version > soft->to) return MESH_EPROTO;
        version = change.version;
    }
    return more < 0 ? more : 1;
}

static int read_ping_req(const uint8_t *at, struct item *item)
{
    item->ping_req.seq = le_load32(at);
    item->ping_req.timeout_ms = le_load16(at + 4);
    item->ping_req.target = load_uuid(at + 6);
    item->ping_req.address = load_address(at + 6 + UUID_SIZE);
    return 1;
}

/* The least a body holds; what is longer comes from a later version. */
static const uint8_t least_size[] = {
    [ITEM_PING] = 4 + UUID_SIZE,
    [ITEM_ACK] = 4,
    [ITEM_PING_REQ] = 6 + UUID_SIZE + 18,
    [ITEM_NACK] = 4,
    [ITEM_RELAYED_ACK] = 4,
    [ITEM_FRONTIER] = 10,
    [ITEM_DIGEST] = 16,
    [ITEM_ALIVE] = SELF_FIXED + 3 + GOSSIP_SIGNATURE,
    [ITEM_SUSPECT] = UUID_SIZE + 10,
    [ITEM_DEAD] = UUID_SIZE + 10,
    [ITEM_LEFT] = UUID_SIZE + 9 + GOSSIP_SIGNATURE,
    [ITEM_GONE] = UUID_SIZE + 8,
    [ITEM_OBSERVED] = 18,
    [ITEM_MAIL] = 8,
    [ITEM_MAIL_ACK] = 8,
    [ITEM_SYNC] = 1,
    [ITEM_SOFT] = UUID_SIZE + 29,
    [ITEM_SOFT_DIGEST] = 0,
};

static int read_body(uint8_t type, const uint8_t *at, const uint8_t *end, bool is_sound, struct item *item)
{
    switch (type) {
    case ITEM_PING:
        item->ping.seq = le_load32(at);
        item->ping.target = load_uuid(at + 4);
        return 1;
    case ITEM_ACK:
    case ITEM_NACK:
    case ITEM_RELAYED_ACK: item->seq = le_load32(at); return 1;
    case ITEM_PING_REQ: return read_ping_req(at, item);
    case ITEM_FRONTIER: return read_frontier(at, end, item);
    case ITEM_DIGEST:
        item->digest.members = le_load64(at);
        item->digest.soft = le_load64(at + 8);
        return 1;
    case ITEM_ALIVE: return read_alive(at, end, item);
    case ITEM_SUSPECT:
    case ITEM_DEAD: return read_accusation(at, end, item);
    case ITEM_LEFT: return read_left(at, end, item);
    case ITEM_GONE:
        item->gone.subject = load_uuid(at);
        item->gone.incarnation = le_load64(at + UUID_SIZE);
        return 1;
    case ITEM_OBSERVED: item->observed = load_address(at); return 1;
    case ITEM_MAIL:
    case ITEM_MAIL_ACK: item->serial = le_load64(at); return 1;
    case ITEM_SYNC: item->wants_reply = (at[0] & 1) != 0; return 1;
    case ITEM_SOFT: return read_soft(at, end, is_sound, item);
    case ITEM_SOFT_DIGEST:
        item->summaries = slice_of(at, (size_t)(end - at));
        return item->summaries.size % CODEC_SOFT_SUMMARY == 0 ? 1 : MESH_EPROTO;
    default: return 1; /* WHO: no body */
    }
}

int codec_next(struct item_reader *reader, struct item *ret_item)
{
    while (reader->at < reader->end) {
        uint8_t type = *reader->at;
        uint64_t size;
        const uint8_t *body = varint_decode(reader->at + 1, reader->end, &size);
        if (body == NULL || size > (uint64_t)(reader->end - body)) return MESH_EPROTO;
        reader->at = body + size;
        if (type < ITEM_PING || type > ITEM_SOFT_DIGEST) continue;
        if (size < least_size[type]) return MESH_EPROTO;
        ret_item->type = type;
        return read_body(type, body, reader->at, reader->is_sound, ret_item);
    }
    return 0;
}

/* A text of printable bytes or UTF-8: no control characters, which would reach a terminal. */
static const uint8_t *read_text(const uint8_t *at, char *to, size_t size_max)
{
    size_t size = *at++;

    if (size > size_max) return NULL;
    for (size_t i = 0; i < size; i++)
        if (at[i] < 0x20 || at[i] == 0x7f) return NULL;
    memcpy(to, at, size);
    to[size] = '\0';
    return at + size;
}

int codec_self_decode(struct slice raw, struct gossip_self *ret_self)
{
    struct gossip_self self = {.id = load_uuid(raw.data), .incarnation = le_load64(raw.data + UUID_SIZE)};
    const uint8_t *at = raw.data + UUID_SIZE + 8;

    self.dir_id = load_uuid(at);
    self.address = load_address(at + UUID_SIZE);
    self.client_port = le_load16(at + UUID_SIZE + 18);
    memcpy(self.public_key, at + UUID_SIZE + 20, GOSSIP_PUBLIC_KEY);
    at = read_text(raw.data + SELF_FIXED, self.name, GOSSIP_NAME_MAX);
    if (at != NULL) at = read_text(at, self.zone, GOSSIP_NAME_MAX);
    if (at != NULL) at = read_text(at, self.host, GOSSIP_HOST_MAX);
    if (at == NULL || uuid_is_zero(&self.id)) return MESH_EPROTO;
    *ret_self = self;
    return 0;
}

void codec_summary_at(struct slice summaries, size_t index, struct soft_summary *ret_summary)
{
    const uint8_t *at = summaries.data + index * CODEC_SOFT_SUMMARY;

    ret_summary->origin = load_uuid(at);
    ret_summary->boot = le_load32(at + UUID_SIZE);
    ret_summary->version = le_load64(at + UUID_SIZE + 4);
    ret_summary->gc_version = le_load64(at + UUID_SIZE + 12);
}
