#include "replication/groups/record.h"

#include "base/assert.h"
#include "replication/groups/classic_image.h"

#define RECORD_VERSION 1

/* Which fields a kind has, in the order in which they are written. */
enum field {
    FIELD_GROUP = 1,
    FIELD_MEMBER = 2,
    FIELD_INFO = 4,
    FIELD_PROTOCOL = 8,
    FIELD_STRATEGY = 16,
    FIELD_REASON = 32,
    FIELD_GENERATION = 64,
    FIELD_RESET_EPOCH = 128,
    FIELD_TIME = 256,
    FIELD_HASH = 512,
    FIELD_TOPIC = 1024,
    FIELD_MEMBERS = 2048,
    FIELD_ITEMS = 4096,
    FIELD_LOSSES = 8192, /* may be left out: 0 */
    FIELD_CLASSIC = 16384,
};

static const struct {
    unsigned fields;
    enum group_item_form form;
} shapes[GROUP_RECORD_KINDS] = {
    [GROUP_CREATED] = {FIELD_GROUP | FIELD_PROTOCOL | FIELD_TIME, GROUP_ITEMS_PLAIN},
    [GROUP_JOINED] = {FIELD_GROUP | FIELD_INFO, GROUP_ITEMS_PLAIN},
    [GROUP_LEFT] = {FIELD_GROUP | FIELD_MEMBER | FIELD_REASON | FIELD_TIME, GROUP_ITEMS_PLAIN},
    [GROUP_ASSIGNED] = {FIELD_GROUP | FIELD_STRATEGY | FIELD_GENERATION | FIELD_MEMBERS | FIELD_ITEMS, GROUP_ITEMS_TARGETS},
    [GROUP_CLAIMED] = {FIELD_GROUP | FIELD_MEMBER | FIELD_GENERATION | FIELD_ITEMS, GROUP_ITEMS_PLAIN},
    [GROUP_RELEASED] = {FIELD_GROUP | FIELD_MEMBER | FIELD_REASON | FIELD_ITEMS, GROUP_ITEMS_PLAIN},
    [GROUP_COMMITTED] = {FIELD_GROUP | FIELD_MEMBER | FIELD_TIME | FIELD_ITEMS, GROUP_ITEMS_OFFSETS},
    [GROUP_RESET] = {FIELD_GROUP | FIELD_MEMBER | FIELD_TIME | FIELD_ITEMS, GROUP_ITEMS_OFFSETS},
    [GROUP_CELLS_DELETED] = {FIELD_GROUP | FIELD_REASON | FIELD_ITEMS, GROUP_ITEMS_PLAIN},
    [GROUP_DELETED] = {FIELD_GROUP | FIELD_REASON, GROUP_ITEMS_PLAIN},
    [GROUP_FENCED] = {FIELD_LOSSES, GROUP_ITEMS_PLAIN},
    [GROUP_CHECKPOINT_BEGAN] = {FIELD_LOSSES, GROUP_ITEMS_PLAIN},
    [GROUP_IMAGE] = {FIELD_GROUP | FIELD_PROTOCOL | FIELD_STRATEGY | FIELD_GENERATION | FIELD_RESET_EPOCH | FIELD_TIME | FIELD_HASH, GROUP_ITEMS_PLAIN},
    [GROUP_IMAGE_MEMBER] = {FIELD_GROUP | FIELD_INFO | FIELD_GENERATION, GROUP_ITEMS_PLAIN},
    [GROUP_IMAGE_TOPIC] = {FIELD_GROUP | FIELD_TOPIC | FIELD_MEMBERS | FIELD_ITEMS, GROUP_ITEMS_CLAIMS},
    [GROUP_IMAGE_CELLS] = {FIELD_GROUP | FIELD_ITEMS, GROUP_ITEMS_CELLS},
    [GROUP_CHECKPOINT_ENDED] = {FIELD_HASH, GROUP_ITEMS_PLAIN},
    [GROUP_SALVAGED] = {FIELD_LOSSES, GROUP_ITEMS_PLAIN},
    [GROUP_CLASSIC] = {FIELD_GROUP | FIELD_GENERATION | FIELD_TIME | FIELD_CLASSIC, GROUP_ITEMS_PLAIN},
    [GROUP_IMAGE_CLASSIC] = {FIELD_GROUP | FIELD_GENERATION | FIELD_CLASSIC, GROUP_ITEMS_PLAIN},
};

/* ---- names ---- */

static void put_bytes(struct codec_writer *writer, struct slice bytes)
{
    codec_put_varint(writer, bytes.size);
    codec_put_raw(writer, bytes.data, bytes.size);
}

int group_names_put(struct buffer *names, struct slice name)
{
    struct codec_writer writer = {names, 0};
    size_t size = names->size;

    put_bytes(&writer, name);
    if (writer.error != 0) names->size = size;
    return writer.error;
}

bool group_names_next(struct slice *names, struct slice *ret_name)
{
    struct codec_reader reader = codec_reader_of(*names);

    if (names->size == 0) return false;
    *ret_name = codec_get_raw(&reader, (size_t)codec_get_bounded(&reader, GROUP_NAME_SIZE_MAX));
    MESH_ASSERT(!reader.is_bad);
    *names = slice_of(reader.at, (size_t)(reader.end - reader.at));
    return true;
}

/* `count` names, none of them empty, as one slice. */
static struct slice get_names(struct codec_reader *reader, uint32_t count, size_t name_size_max)
{
    const uint8_t *from = reader->at;

    for (uint32_t i = 0; i < count && !reader->is_bad; i++)
        if (codec_get_string(reader, name_size_max).size == 0) reader->is_bad = true;
    return reader->is_bad || count == 0 ? (struct slice){NULL, 0} : slice_of(from, (size_t)(reader->at - from));
}

/* ---- lists of partitions ---- */

static bool has_runs(enum group_item_form form)
{
    return form == GROUP_ITEMS_TARGETS || form == GROUP_ITEMS_CLAIMS;
}

struct group_items_writer group_items_write(struct buffer *to, enum group_item_form form)
{
    return (struct group_items_writer){.writer = {to, 0}, .form = form};
}

void group_items_put(struct group_items_writer *writer, const struct group_item *item)
{
    struct codec_writer *to = &writer->writer;

    if (!writer->has_topic || !uuid_equal(&writer->topic, &item->topic)) {
        codec_put_varint(to, 0);
        codec_put_uuid(to, &item->topic);
        writer->topic = item->topic;
        writer->has_topic = true;
    }
    codec_put_varint(to, has_runs(writer->form) ? item->run : (uint64_t)item->partition + 1);
    if (writer->form == GROUP_ITEMS_OFFSETS || writer->form == GROUP_ITEMS_CELLS) {
        codec_put_varint(to, item->offset);
        codec_put_zigzag(to, item->record_epoch);
        put_bytes(to, item->metadata);
    }
    if (writer->form == GROUP_ITEMS_CELLS) {
        codec_put_varint(to, item->version_epoch);
        codec_put_varint(to, item->version_lsn);
        codec_put_varint(to, item->committed_s);
    }
    if (has_runs(writer->form)) codec_put_varint(to, item->target);
    if (writer->form == GROUP_ITEMS_CLAIMS) {
        codec_put_varint(to, item->owner);
        if (item->owner != 0) codec_put_varint(to, item->claimed_in);
    }
    writer->count++;
}

struct group_items_reader group_items_read(const struct group_record *record)
{
    return (struct group_items_reader){.reader = codec_reader_of(record->items), .form = shapes[record->kind].form};
}

static void read_payload(struct codec_reader *from, enum group_item_form form, struct group_item *item)
{
    if (form == GROUP_ITEMS_OFFSETS || form == GROUP_ITEMS_CELLS) {
        item->offset = codec_get_bounded(from, GROUP_OFFSET_MAX);
        item->record_epoch = codec_get_int32(from);
        if (item->record_epoch < -1) from->is_bad = true;
        item->metadata = codec_get_raw(from, (size_t)codec_get_bounded(from, GROUP_METADATA_SIZE_MAX));
    }
    if (form == GROUP_ITEMS_CELLS) {
        item->version_epoch = (uint32_t)codec_get_bounded(from, INT32_MAX);
        item->version_lsn = codec_get_bounded(from, INT64_MAX);
        item->committed_s = (uint32_t)codec_get_bounded(from, UINT32_MAX);
    }
    if (has_runs(form)) item->target = (uint32_t)codec_get_bounded(from, GROUP_MEMBERS_MAX);
    if (form != GROUP_ITEMS_CLAIMS) return;
    item->owner = (uint32_t)codec_get_bounded(from, GROUP_MEMBERS_MAX);
    if (item->owner != 0) item->claimed_in = (uint32_t)codec_get_bounded(from, INT32_MAX);
}

/* False at the end, or when it is bad. */
static bool read_item(struct group_items_reader *reader, struct group_item *item)
{
    struct codec_reader *from = &reader->reader;
    uint64_t number;

    if (from->is_bad || from->at == from->end) return false;
    memset(item, 0, sizeof(*item));
    number = codec_get_bounded(from, GROUP_ITEMS_MAX);
    if (number == 0 && !from->is_bad) {
        reader->topic = codec_get_uuid(from);
        if (uuid_is_zero(&reader->topic)) from->is_bad = true;
        reader->has_topic = true;
        reader->next = 0;
        number = codec_get_bounded(from, GROUP_ITEMS_MAX);
    }
    if (!reader->has_topic || number == 0) from->is_bad = true;
    if (from->is_bad) return false;
    item->topic = reader->topic;
    item->run = 1;
    item->partition = (uint32_t)number - 1;
    if (has_runs(reader->form)) {
        item->partition = reader->next;
        item->run = (uint32_t)number;
        if (item->run > GROUP_ITEMS_MAX - reader->next) from->is_bad = true;
        reader->next += item->run;
    }
    read_payload(from, reader->form, item);
    return !from->is_bad;
}

bool group_items_next(struct group_items_reader *reader, struct group_item *ret_item)
{
    bool has_item = read_item(reader, ret_item);

    MESH_ASSERT(!reader->reader.is_bad); /* group_record_decode() has been through it */
    return has_item;
}

/* The rest of the record is a list that can be read to its end, and names no member that is not there. */
static struct slice get_items(struct codec_reader *reader, const struct group_record *record)
{
    struct group_items_reader items = {.reader = *reader, .form = shapes[record->kind].form};
    struct group_item item;
    uint32_t count = 0;
    struct slice all = slice_of(reader->at, (size_t)(reader->end - reader->at));

    if (reader->is_bad) return (struct slice){NULL, 0};
    while (read_item(&items, &item)) {
        if (++count > GROUP_ITEMS_MAX) items.reader.is_bad = true;
        if (has_runs(items.form) && (item.target > record->member_count || item.owner > record->member_count)) items.reader.is_bad = true;
        if (record->kind == GROUP_IMAGE_TOPIC && !uuid_equal(&item.topic, &record->topic)) items.reader.is_bad = true;
    }
    if (items.reader.is_bad) reader->is_bad = true;
    reader->at = reader->end;
    return all;
}

/* The rest of the record. */
static struct slice get_classic(struct codec_reader *reader)
{
    struct slice all = slice_of(reader->at, (size_t)(reader->end - reader->at));
    struct classic_image image;

    if (reader->is_bad || classic_image_read(all, &image) != 0) reader->is_bad = true;
    reader->at = reader->end;
    return all;
}

/* ---- members ---- */

static void put_info(struct codec_writer *writer, const struct group_member_info *info)
{
    put_bytes(writer, info->id);
    put_bytes(writer, info->replaces);
    put_bytes(writer, info->instance);
    put_bytes(writer, info->client);
    put_bytes(writer, info->host);
    put_bytes(writer, info->zone);
    codec_put_varint(writer, info->session_timeout_ms);
    codec_put_varint(writer, info->processing_limit_ms);
    codec_put_varint(writer, info->strategy);
    put_bytes(writer, info->pattern);
    codec_put_varint(writer, info->name_count);
    codec_put_raw(writer, info->names.data, info->names.size);
}

static void get_info(struct codec_reader *reader, struct group_member_info *info)
{
    info->id = codec_get_string(reader, GROUP_NAME_SIZE_MAX);
    if (info->id.size == 0) reader->is_bad = true;
    info->replaces = codec_get_string(reader, GROUP_NAME_SIZE_MAX);
    if (info->replaces.size != 0 && slice_equal(info->replaces, info->id)) reader->is_bad = true;
    info->instance = codec_get_string(reader, GROUP_NAME_SIZE_MAX);
    info->client = codec_get_string(reader, GROUP_NAME_SIZE_MAX);
    info->host = codec_get_string(reader, GROUP_NAME_SIZE_MAX);
    info->zone = codec_get_string(reader, GROUP_NAME_SIZE_MAX);
    info->session_timeout_ms = (uint32_t)codec_get_bounded(reader, INT32_MAX);
    info->processing_limit_ms = (uint32_t)codec_get_bounded(reader, INT32_MAX);
    info->strategy = (enum group_strategy)codec_get_bounded(reader, GROUP_STRATEGIES - 1);
    info->pattern = codec_get_string(reader, GROUP_PATTERN_SIZE_MAX);
    info->name_count = (uint32_t)codec_get_bounded(reader, GROUP_NAMES_MAX);
    info->names = get_names(reader, info->name_count, GROUP_TOPIC_NAME_MAX);
}

/* ---- records ---- */

/* There is one way to write none. */
static uint32_t get_losses(struct codec_reader *reader)
{
    uint32_t losses = (uint32_t)codec_get_bounded(reader, UINT32_MAX);

    if (losses == 0) reader->is_bad = true;
    return losses;
}

int group_record_encode(const struct group_record *record, struct buffer *to)
{
    struct codec_writer writer = {to, 0};
    unsigned fields = shapes[record->kind].fields;
    size_t size = to->size;

    MESH_ASSERT(record->kind >= GROUP_CREATED && record->kind < GROUP_RECORD_KINDS);
    codec_put_varint(&writer, RECORD_VERSION);
    codec_put_varint(&writer, record->kind);
    if (fields & FIELD_GROUP) put_bytes(&writer, record->group);
    if (fields & FIELD_MEMBER) put_bytes(&writer, record->member);
    if (fields & FIELD_INFO) put_info(&writer, &record->info);
    if (fields & FIELD_PROTOCOL) codec_put_varint(&writer, record->protocol);
    if (fields & FIELD_STRATEGY) codec_put_varint(&writer, record->strategy);
    if (fields & FIELD_REASON) codec_put_varint(&writer, record->reason);
    if (fields & FIELD_GENERATION) codec_put_varint(&writer, record->generation);
    if (fields & FIELD_RESET_EPOCH) codec_put_varint(&writer, record->reset_epoch);
    if (fields & FIELD_TIME) codec_put_varint(&writer, record->time_ms);
    if (fields & FIELD_HASH) codec_put_varint(&writer, record->hash);
    if (fields & FIELD_TOPIC) codec_put_uuid(&writer, &record->topic);
    if (fields & FIELD_MEMBERS) {
        codec_put_varint(&writer, record->member_count);
        codec_put_raw(&writer, record->members.data, record->members.size);
    }
    if ((fields & FIELD_LOSSES) && record->losses != 0) codec_put_varint(&writer, record->losses);
    if (fields & FIELD_ITEMS) codec_put_raw(&writer, record->items.data, record->items.size);
    if (fields & FIELD_CLASSIC) codec_put_raw(&writer, record->classic.data, record->classic.size);
    if (writer.error == 0 && to->size - size > GROUP_RECORD_SIZE_MAX) writer.error = MESH_ETOOLARGE;
    if (writer.error != 0) to->size = size;
    return writer.error;
}

int group_record_decode(struct slice from, struct group_record *ret_record)
{
    struct codec_reader reader = codec_reader_of(from);
    uint64_t version = codec_get_varint(&reader), kind = codec_get_varint(&reader);
    struct group_record record = {0};
    unsigned fields;

    if (reader.is_bad || version == 0 || kind == 0 || from.size > GROUP_RECORD_SIZE_MAX) return MESH_ECORRUPT;
    if (version > RECORD_VERSION || kind >= GROUP_RECORD_KINDS) return MESH_EVERSION;
    record.kind = (enum group_record_kind)kind;
    fields = shapes[kind].fields;
    if (fields & FIELD_GROUP) record.group = codec_get_string(&reader, GROUP_NAME_SIZE_MAX);
    if (fields & FIELD_MEMBER) record.member = codec_get_string(&reader, GROUP_NAME_SIZE_MAX);
    if (fields & FIELD_INFO) get_info(&reader, &record.info);
    if (fields & FIELD_INFO) record.member = record.info.id;
    if (fields & FIELD_PROTOCOL) record.protocol = (enum group_protocol)codec_get_bounded(&reader, GROUP_PROTOCOLS - 1);
    if (fields & FIELD_STRATEGY) record.strategy = (enum group_strategy)codec_get_bounded(&reader, GROUP_STRATEGIES - 1);
    if (fields & FIELD_REASON) record.reason = (enum group_reason)codec_get_bounded(&reader, GROUP_REASONS - 1);
    if (fields & FIELD_GENERATION) record.generation = (uint32_t)codec_get_bounded(&reader, INT32_MAX);
    if (fields & FIELD_RESET_EPOCH) record.reset_epoch = (uint32_t)codec_get_bounded(&reader, INT32_MAX);
    if (fields & FIELD_TIME) record.time_ms = codec_get_bounded(&reader, INT64_MAX);
    if (fields & FIELD_HASH) record.hash = codec_get_varint(&reader);
    if (fields & FIELD_TOPIC) record.topic = codec_get_uuid(&reader);
    if (fields & FIELD_MEMBERS) {
        record.member_count = (uint32_t)codec_get_bounded(&reader, GROUP_MEMBERS_MAX);
        record.members = get_names(&reader, record.member_count, GROUP_NAME_SIZE_MAX);
    }
    if ((fields & FIELD_LOSSES) && reader.at < reader.end) record.losses = get_losses(&reader);
    if (fields & FIELD_ITEMS) record.items = get_items(&reader, &record);
    if (fields & FIELD_CLASSIC) record.classic = get_classic(&reader);
    if ((fields & FIELD_GROUP) && group_name_check(record.group) != 0) return MESH_ECORRUPT;
    if ((fields & FIELD_MEMBER) && record.member.size == 0 && kind != GROUP_COMMITTED && kind != GROUP_RESET) return MESH_ECORRUPT;
    if (!codec_reader_is_done(&reader)) return MESH_ECORRUPT;
    *ret_record = record;
    return 0;
}

/* Bytes of the UTF-8 character at `at`, 0: there is none. Overlong forms, surrogates and control characters are none. */
static size_t character_size(const uint8_t *at, const uint8_t *end)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t size = at[0] < 0x80 ? 1 : at[0] >> 5 == 6 ? 2 : at[0] >> 4 == 14 ? 3 : at[0] >> 3 == 30 ? 4 : 0;
    uint32_t character = size == 1 ? at[0] : at[0] & (0x7fu >> size);

    if (size == 0 || (size_t)(end - at) < size) return 0;
    for (size_t i = 1; i < size; i++) {
        if (at[i] >> 6 != 2) return 0;
        character = character << 6 | (at[i] & 0x3fu);
    }
    if (character < smallest[size] || character > 0x10ffff || (character >= 0xd800 && character < 0xe000)) return 0;
    return character < 0x20 || (character >= 0x7f && character < 0xa0) ? 0 : size;
}

int group_name_check(struct slice name)
{
    const uint8_t *at = name.data, *end;

    if (name.size == 0 || name.size > GROUP_NAME_SIZE_MAX) return MESH_EINVALID_GROUP;
    for (end = at + name.size; at < end;) {
        size_t size = character_size(at, end);
        if (size == 0) return MESH_EINVALID_GROUP;
        at += size;
    }
    return 0;
}
