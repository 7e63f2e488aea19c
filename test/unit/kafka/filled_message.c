#include "unit/kafka/filled_message.h"

#include "base/assert.h"
#include "kafka/layout.h"

#include <stdio.h>

struct filler {
    struct random *random; /* NULL: numbered */
    unsigned last;         /* number given */
    struct arena *arena;
};

static void fill_struct(struct kafka_form form, struct filler *filler, void *message);

/* Of ends and middles: the values at which widths and signs show. */
static int64_t random_number(struct random *random)
{
    static const int64_t edges[] = {0, 1, -1, 127, -128, 255, 32767, -32768, 65536, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN};
    uint64_t choice = random_below(random, 3);

    if (choice == 0) return edges[random_below(random, sizeof(edges) / sizeof(edges[0]))];
    return choice == 1 ? (int64_t)random_below(random, 1000) : (int64_t)random_next(random);
}

/* A number that every width can say, so that what is printed shows whose it is. */
static int64_t next_number(struct filler *filler, enum kafka_type type)
{
    if (filler->random != NULL) return random_number(filler->random);
    filler->last++;
    return type == KAFKA_BOOL || type == KAFKA_INT8 ? filler->last % 127 : filler->last;
}

static struct slice random_slice(struct random *random, struct arena *arena)
{
    /* 127 and 128 lie at both sides of a compact length's second byte. */
    static const size_t sizes[] = {0, 1, 3, 12, 126, 127, 128, 300};
    size_t size = sizes[random_below(random, sizeof(sizes) / sizeof(sizes[0]))];
    uint8_t *bytes = arena_alloc(arena, size, 1);

    MESH_ASSERT(bytes != NULL);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)('a' + random_below(random, 26));
    return slice_of(bytes, size);
}

static struct slice next_slice(struct filler *filler)
{
    char text[16];
    uint8_t *bytes;
    int size;

    if (filler->random != NULL) return random_slice(filler->random, filler->arena);
    size = snprintf(text, sizeof(text), "s%u", ++filler->last);
    bytes = arena_alloc(filler->arena, (size_t)size, 1);
    MESH_ASSERT(bytes != NULL);
    memcpy(bytes, text, (size_t)size);
    return slice_of(bytes, (size_t)size);
}

/* One of n times, and never in numbered messages. */
static bool one_of(struct filler *filler, uint64_t n)
{
    return filler->random != NULL && random_below(filler->random, n) == 0;
}

static void fill_value(struct kafka_form form, const struct kafka_field *field, enum kafka_type type, struct filler *filler, void *place)
{
    switch (type) {
    case KAFKA_STRING:
    case KAFKA_BYTES:
    case KAFKA_RECORDS: {
        bool may_be_null = field->type != KAFKA_ARRAY && field_may_be_null(field, form.version);
        struct slice slice = may_be_null && one_of(filler, 4) ? slice_of(NULL, 0) : next_slice(filler);

        memcpy(place, &slice, sizeof(slice));
        break;
    }
    case KAFKA_UUID:
        for (int i = 0; i < UUID_SIZE; i++)
            ((uint8_t *)place)[i] = (uint8_t)next_number(filler, KAFKA_INT8);
        break;
    case KAFKA_STRUCT: fill_struct((struct kafka_form){field->of, form.version, form.is_flexible}, filler, place); break;
    default: layout_store_number(type, place, next_number(filler, type)); break;
    }
}

static void fill_array(struct kafka_form form, const struct kafka_field *field, struct filler *filler, void *place)
{
    struct kafka_array array = {NULL, filler->random != NULL ? (int32_t)random_below(filler->random, 4) : 2};
    size_t size = layout_element_size(field);

    if (field_may_be_null(field, form.version) && one_of(filler, 4)) array.count = -1;
    if (array.count > 0) {
        array.items = field->element == KAFKA_STRUCT ? kafka_new_items(field->of, array.count, filler->arena)
                                                     : arena_alloc(filler->arena, (size_t)array.count, size);
        MESH_ASSERT(array.items != NULL);
    }
    for (int32_t i = 0; i < array.count; i++)
        fill_value(form, field, (enum kafka_type)field->element, filler, (char *)array.items + (size_t)i * size);
    array_store(place, array);
}

static void fill_struct(struct kafka_form form, struct filler *filler, void *message)
{
    for (uint16_t i = 0; i < form.of->field_count; i++) {
        const struct kafka_field *field = &form.of->fields[i];
        void *place = field_place(field, message);

        if (!field_is_in(field, form.version)) continue;
        if (field->tag >= 0 && one_of(filler, 2)) continue;
        if (field->type == KAFKA_ARRAY)
            fill_array(form, field, filler, place);
        else
            fill_value(form, field, (enum kafka_type)field->type, filler, place);
    }
}

void random_message(struct kafka_form form, struct random *random, struct arena *arena, void *ret_message)
{
    struct filler filler = {.random = random, .arena = arena};

    kafka_init(form.of, ret_message);
    fill_struct(form, &filler, ret_message);
}

void numbered_message(struct kafka_form form, struct arena *arena, void *ret_message)
{
    struct filler filler = {.arena = arena};

    kafka_init(form.of, ret_message);
    fill_struct(form, &filler, ret_message);
}
