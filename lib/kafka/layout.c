/* kafka/layout.c - see layout.h; and what is asked of tables rather than of bytes. */
#include "kafka/layout.h"

#include "base/assert.h"

const struct kafka_api *kafka_api_find(int16_t key)
{
    size_t low = 0, high = kafka_api_count;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (kafka_apis[middle].key == key) return &kafka_apis[middle];
        if (kafka_apis[middle].key < key)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static struct kafka_form form_of(const struct kafka_api *api, const struct kafka_struct *of, int version)
{
    MESH_ASSERT(kafka_api_has(api, version));
    return (struct kafka_form){of, (int8_t)version, version >= api->flexible_min};
}

struct kafka_form kafka_request_form(const struct kafka_api *api, int version)
{
    return form_of(api, api->request, version);
}

struct kafka_form kafka_response_form(const struct kafka_api *api, int version)
{
    return form_of(api, api->response, version);
}

size_t layout_size_of(enum kafka_type type, const struct kafka_struct *of)
{
    switch (type) {
    case KAFKA_BOOL: return sizeof(bool);
    case KAFKA_INT8: return sizeof(int8_t);
    case KAFKA_INT16: return sizeof(int16_t);
    case KAFKA_INT32: return sizeof(int32_t);
    case KAFKA_INT64: return sizeof(int64_t);
    case KAFKA_UUID: return sizeof(struct uuid);
    case KAFKA_STRING:
    case KAFKA_BYTES:
    case KAFKA_RECORDS: return sizeof(struct slice);
    case KAFKA_STRUCT: return of->size;
    case KAFKA_ARRAY: return sizeof(struct kafka_array);
    }
    MESH_ASSERT(false);
    return 0;
}

static size_t struct_wire_min(const struct kafka_struct *of, int version, bool is_flexible)
{
    size_t size = is_flexible ? 1 : 0; /* the count of tagged fields */

    for (uint16_t i = 0; i < of->field_count; i++) {
        const struct kafka_field *field = &of->fields[i];

        if (field->tag >= 0 || !field_is_in(field, version)) continue;
        size += layout_wire_min((enum kafka_type)field->type, field->of, version, is_flexible);
    }
    return size;
}

size_t layout_wire_min(enum kafka_type type, const struct kafka_struct *of, int version, bool is_flexible)
{
    switch (type) {
    case KAFKA_BOOL:
    case KAFKA_INT8: return 1;
    case KAFKA_INT16: return 2;
    case KAFKA_INT32: return 4;
    case KAFKA_INT64: return 8;
    case KAFKA_UUID: return UUID_SIZE;
    case KAFKA_STRING: return is_flexible ? 1 : 2;
    case KAFKA_BYTES:
    case KAFKA_RECORDS:
    case KAFKA_ARRAY: return is_flexible ? 1 : 4;
    case KAFKA_STRUCT: return struct_wire_min(of, version, is_flexible);
    }
    MESH_ASSERT(false);
    return 0;
}

int64_t layout_load_number(enum kafka_type type, const void *place)
{
    switch (type) {
    case KAFKA_BOOL: return *(const bool *)place;
    case KAFKA_INT8: return *(const int8_t *)place;
    case KAFKA_INT16: return *(const int16_t *)place;
    case KAFKA_INT32: return *(const int32_t *)place;
    case KAFKA_INT64: return *(const int64_t *)place;
    default: MESH_ASSERT(false); return 0;
    }
}

void layout_store_number(enum kafka_type type, void *place, int64_t value)
{
    switch (type) {
    case KAFKA_BOOL: *(bool *)place = value != 0; break;
    case KAFKA_INT8: *(int8_t *)place = (int8_t)value; break;
    case KAFKA_INT16: *(int16_t *)place = (int16_t)value; break;
    case KAFKA_INT32: *(int32_t *)place = (int32_t)value; break;
    case KAFKA_INT64: *(int64_t *)place = value; break;
    default: MESH_ASSERT(false);
    }
}

static bool struct_is_default(const struct kafka_struct *of, const void *message, int version)
{
    for (uint16_t i = 0; i < of->field_count; i++) {
        const struct kafka_field *field = &of->fields[i];

        if (field_is_in(field, version) && !layout_is_default(field, field_of(field, message), version)) return false;
    }
    return true;
}

bool layout_is_default(const struct kafka_field *field, const void *place, int version)
{
    static const struct uuid zero;

    switch ((enum kafka_type)field->type) {
    case KAFKA_UUID: return uuid_equal(place, &zero);
    case KAFKA_STRING:
    case KAFKA_BYTES:
    case KAFKA_RECORDS: /* where null can be said, an empty one is not it */
        return field_may_be_null(field, version) ? ((const struct slice *)place)->data == NULL : ((const struct slice *)place)->size == 0;
    case KAFKA_ARRAY: return array_load(place).count == 0;
    case KAFKA_STRUCT: return struct_is_default(field->of, place, version);
    default: return layout_load_number((enum kafka_type)field->type, place) == field->default_value;
    }
}

/* Only numbers have defaults that are not all zeros. */
static void set_defaults(const struct kafka_struct *of, void *message)
{
    for (uint16_t i = 0; i < of->field_count; i++) {
        const struct kafka_field *field = &of->fields[i];

        if (field->type == KAFKA_STRUCT)
            set_defaults(field->of, field_place(field, message));
        else if (field->default_value != 0)
            layout_store_number((enum kafka_type)field->type, field_place(field, message), field->default_value);
    }
}

void kafka_init(const struct kafka_struct *of, void *ret_message)
{
    memset(ret_message, 0, of->size);
    set_defaults(of, ret_message);
}

void *kafka_new_items(const struct kafka_struct *of, int32_t count, struct arena *arena)
{
    char *items;

    MESH_ASSERT(count >= 0);
    items = arena_alloc(arena, (size_t)count, of->size);
    for (int32_t i = 0; items != NULL && i < count; i++)
        set_defaults(of, items + (size_t)i * of->size);
    return items;
}
