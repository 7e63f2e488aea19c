/* fuzz/door_message.c - see door_message.h. */
#include "test/fuzz/door_message.h"

#include "kafka/layout.h"

#include <string.h>

#define COUNT_MANY 300

/* Where the first byte lies in here it is the number; then come those that break things. */
#define SMALL_NUMBERS 64
static const int64_t numbers[] = {-1, -2, -3, 127, 128, 255, 1000, 6000, 32767, 65536, 1000000, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, 0};

static const char *const words[] = {
    "", "t", "u", "gone", "g", "h", "who", "range", "consumer", "connect", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "n,,n=alice,r=abcdefgh",
    "alice", "retention.ms", "cleanup.policy", "compact", "compression.type", "segment.bytes", "1", "-1", "3600000", "__mesh_groups", "a/b", "classic", "Stable"};
#define WORD_COUNT (sizeof(words) / sizeof(words[0]))

struct maker {
    struct choices *choices;
    const struct door_facts *facts;
    struct arena *arena;
    int version;
    bool is_failed;
};

static struct slice take_bytes(struct maker *maker, size_t size)
{
    size_t left = (size_t)(maker->choices->end - maker->choices->at);
    uint8_t *copy;

    if (size > left) size = left;
    copy = arena_alloc(maker->arena, size + 1, 1);
    if (copy == NULL) {
        maker->is_failed = true;
        return slice_of_string("");
    }
    memcpy(copy, maker->choices->at, size);
    maker->choices->at += size;
    return slice_of(copy, size);
}

static int64_t make_number(struct maker *maker, int64_t otherwise)
{
    uint8_t choice = choices_take(maker->choices);
    uint64_t raw = 0;

    if (choice == 0) return otherwise;
    if (choice < SMALL_NUMBERS) return choice;
    if (choice < 192) return numbers[choice % (sizeof(numbers) / sizeof(numbers[0]))];
    for (int i = 0; i < 8; i++)
        raw = raw << 8 | choices_take(maker->choices);
    return (int64_t)raw;
}

static struct slice make_string(struct maker *maker, bool may_be_null)
{
    uint8_t choice = choices_take(maker->choices);

    if (choice == 0 && may_be_null) return slice_of(NULL, 0);
    if (choice == 1 && maker->facts->member_id.size > 0) return maker->facts->member_id;
    if (choice < 224) return slice_of_string(words[choice % WORD_COUNT]);
    return take_bytes(maker, choice == 255 ? 4096 : choices_take(maker->choices) % 32u);
}

/* As a client sends them, twice, cut, with one byte that is another, or something else. */
static struct slice make_records(struct maker *maker, bool may_be_null)
{
    uint8_t choice = choices_take(maker->choices);
    struct slice batch = maker->facts->batch;
    uint8_t *copy;

    if (choice == 0 && may_be_null) return slice_of(NULL, 0);
    if (choice < 32) return batch;
    if (choice >= 192) return take_bytes(maker, 256);
    copy = arena_alloc(maker->arena, 2, batch.size);
    if (copy == NULL) {
        maker->is_failed = true;
        return batch;
    }
    memcpy(copy, batch.data, batch.size);
    memcpy(copy + batch.size, batch.data, batch.size);
    if (choice < 64) return slice_of(copy, 2 * batch.size);
    if (choice < 96) return slice_of(copy, choices_take(maker->choices) % batch.size);
    copy[choices_take(maker->choices) % batch.size] ^= (uint8_t)(choice | 1);
    return slice_of(copy, batch.size);
}

static struct uuid make_uuid(struct maker *maker)
{
    struct uuid uuid = {0};
    uint8_t choice = choices_take(maker->choices);
    struct slice raw;

    if (choice == 0) return uuid;
    if (choice < 192) return maker->facts->topic_id;
    raw = take_bytes(maker, sizeof(uuid));
    memcpy(&uuid, raw.data, raw.size);
    return uuid;
}

static void make_struct(struct maker *maker, const struct kafka_struct *of, void *place);

static void make_value(struct maker *maker, const struct kafka_field *field, enum kafka_type type, bool may_be_null, void *place)
{
    struct slice slice;
    struct uuid uuid;

    switch (type) {
    case KAFKA_STRUCT: make_struct(maker, field->of, place); return;
    case KAFKA_UUID:
        uuid = make_uuid(maker);
        memcpy(place, &uuid, sizeof(uuid));
        return;
    case KAFKA_STRING:
    case KAFKA_BYTES:
    case KAFKA_RECORDS:
        slice = type == KAFKA_RECORDS ? make_records(maker, may_be_null) : make_string(maker, may_be_null);
        memcpy(place, &slice, sizeof(slice));
        return;
    case KAFKA_BOOL: layout_store_number(type, place, make_number(maker, 0) & 1); return;
    default: layout_store_number(type, place, make_number(maker, layout_load_number(type, place))); return;
    }
}

static void make_array(struct maker *maker, const struct kafka_field *field, bool may_be_null, void *place)
{
    uint8_t choice = choices_take(maker->choices);
    struct kafka_array array = {.count = choice == 255 ? COUNT_MANY : choice % 5};
    size_t size = layout_element_size(field);

    if (choice == 0 && may_be_null) {
        array.count = -1;
    } else if (array.count > 0) {
        array.items = field->element == KAFKA_STRUCT ? kafka_new_items(field->of, array.count, maker->arena) : arena_alloc(maker->arena, (size_t)array.count, size);
        if (array.items == NULL) {
            maker->is_failed = true;
            return;
        }
        for (int32_t i = 0; i < array.count; i++)
            make_value(maker, field, (enum kafka_type)field->element, false, (char *)array.items + (size_t)i * size);
    }
    array_store(place, array);
}

static void make_struct(struct maker *maker, const struct kafka_struct *of, void *message)
{
    for (uint16_t i = 0; i < of->field_count && !maker->is_failed; i++) {
        const struct kafka_field *field = &of->fields[i];
        bool may_be_null = field_may_be_null(field, maker->version);

        if (!field_is_in(field, maker->version)) continue;
        if (field->type == KAFKA_ARRAY)
            make_array(maker, field, may_be_null, field_place(field, message));
        else
            make_value(maker, field, (enum kafka_type)field->type, may_be_null, field_place(field, message));
    }
}

bool door_message_make(struct choices *choices, const struct door_facts *facts, struct kafka_form form, struct arena *arena, void *ret_message)
{
    struct maker maker = {.choices = choices, .facts = facts, .arena = arena, .version = form.version};

    kafka_init(form.of, ret_message);
    make_struct(&maker, form.of, ret_message);
    return !maker.is_failed;
}
