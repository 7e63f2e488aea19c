#include "wire/convert.h"

#include "base/assert.h"
#include "wire/frame.h"
#include "wire/message_check.h"

/* What protobuf-c may spend on a message. Per element: the largest struct (a Partition), the pointer to it,
 * and a scan record of its own that lives in slabs growing by doubling. */
#define UNPACK_BYTES_BASE        (64u << 10)
#define UNPACK_BYTES_PER_BYTE    8
#define UNPACK_BYTES_PER_ELEMENT 384

struct convert_block {
    struct convert_block *next;
    max_align_t data[];
};

void convert_fail(struct conversion *conversion, int err)
{
    if (conversion->err == 0) conversion->err = err;
}

/* ---- from protobuf-c's structs to ours ---- */

void *convert_array(struct conversion *conversion, size_t count, size_t element_size, size_t *ret_count)
{
    void *array = NULL;

    *ret_count = 0;
    if (count == 0 || conversion->err != 0) return NULL;
    array = calloc(count, element_size);
    if (array == NULL)
        convert_fail(conversion, MESH_ENOMEM);
    else
        *ret_count = count;
    return array;
}

char *convert_string(struct conversion *conversion, const char *from)
{
    char *to = NULL;

    if (conversion->err != 0) return NULL;
    to = strdup(from);
    if (to == NULL) convert_fail(conversion, MESH_ENOMEM);
    return to;
}

struct uuid convert_uuid(ProtobufCBinaryData from)
{
    struct uuid to = {{0}};

    MESH_ASSERT(from.len == 0 || from.len == UUID_SIZE); /* message_check() lets nothing else through */
    if (from.len != 0) memcpy(to.bytes, from.data, UUID_SIZE);
    return to;
}

int convert_error(struct conversion *conversion, int32_t error)
{
    if (error > 0) convert_fail(conversion, MESH_EPROTO);
    return error;
}

int32_t convert_minus_one(struct conversion *conversion, int64_t plus_one)
{
    if (plus_one >= 0 && plus_one <= (int64_t)INT32_MAX + 1) return (int32_t)(plus_one - 1);
    convert_fail(conversion, MESH_EPROTO);
    return -1;
}

void convert_strings_free(char **strings, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(strings[i]);
    free(strings);
}

/* ---- from ours to protobuf-c's ---- */

static size_t round_up(size_t size)
{
    return (size + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
}

void *convert_pointers(struct conversion *conversion, size_t count, size_t element_size, size_t *ret_count)
{
    size_t stride = round_up(element_size), pointers_size;
    struct convert_block *block;
    uint8_t *pointers;

    *ret_count = 0;
    if (count == 0 || conversion->err != 0) return NULL;
    if (count > FRAME_MESSAGE_BYTES_MAX) { /* each element takes at least a byte */
        convert_fail(conversion, MESH_ETOOLARGE);
        return NULL;
    }
    pointers_size = round_up(count * sizeof(void *));
    block = malloc(sizeof(*block) + pointers_size + count * stride);
    if (block == NULL) {
        convert_fail(conversion, MESH_ENOMEM);
        return NULL;
    }
    block->next = conversion->blocks;
    conversion->blocks = block;
    pointers = (uint8_t *)block->data;
    for (size_t i = 0; i < count; i++) {
        void *element = pointers + pointers_size + i * stride;
        memcpy(pointers + i * sizeof(element), &element, sizeof(element));
    }
    *ret_count = count;
    return pointers;
}

ProtobufCBinaryData convert_borrow_uuid(const struct uuid *from)
{
    if (uuid_is_zero(from)) return (ProtobufCBinaryData){0, NULL};
    return (ProtobufCBinaryData){UUID_SIZE, (uint8_t *)(uintptr_t)from->bytes}; /* only read from */
}

int32_t convert_plus_one(struct conversion *conversion, int32_t value)
{
    if (value >= -1 && value < INT32_MAX) return value + 1;
    convert_fail(conversion, MESH_EINVAL);
    return 0;
}

/* ---- the ends ---- */

struct unpack_budget {
    size_t bytes_left;
    bool is_out_of_memory;
};

static void *budget_alloc(void *context, size_t size)
{
    struct unpack_budget *budget = context;
    void *memory;

    if (size > budget->bytes_left) return NULL;
    budget->bytes_left -= size;
    memory = malloc(size);
    if (memory == NULL) budget->is_out_of_memory = true;
    return memory;
}

static void budget_free(void *context, void *memory)
{
    (void)context;
    free(memory);
}

int convert_unpack(const ProtobufCMessageDescriptor *descriptor, struct slice from, uint32_t elements_max,
                   ProtobufCMessage **ret_message)
{
    struct unpack_budget budget = {0};
    ProtobufCAllocator allocator = {budget_alloc, budget_free, &budget};
    ProtobufCMessage *message;
    uint32_t element_count = 0;
    int err;

    if (from.size > FRAME_MESSAGE_BYTES_MAX) return MESH_EPROTO;
    err = message_check(descriptor, from, elements_max, &element_count);
    if (err != 0) return err;
    budget.bytes_left = UNPACK_BYTES_BASE + UNPACK_BYTES_PER_BYTE * from.size +
                        (size_t)UNPACK_BYTES_PER_ELEMENT * element_count;
    message = protobuf_c_message_unpack(descriptor, &allocator, from.size, from.data);
    if (message == NULL) return budget.is_out_of_memory ? MESH_ENOMEM : MESH_EPROTO;
    *ret_message = message;
    return 0;
}

#define ELEMENT_BYTES_MIN 2 /* tag and length */

static int pack(const ProtobufCMessage *message, uint32_t elements_max, struct buffer *to)
{
    size_t size = protobuf_c_message_get_packed_size(message), start = to->size;
    uint32_t element_count;

    if (size > FRAME_MESSAGE_BYTES_MAX) return MESH_ETOOLARGE;
    if (size == 0) return 0;
    if (buffer_reserve(to, size) != 0) return MESH_ENOMEM;
    to->size += protobuf_c_message_pack(message, to->data + start);
    if (size / ELEMENT_BYTES_MIN <= elements_max) return 0; /* as nearly always: no need to count */
    if (message_check(message->descriptor, slice_of(to->data + start, size), elements_max, &element_count) ==
        0)
        return 0;
    to->size = start;
    return MESH_ETOOLARGE;
}

int convert_pack(struct conversion *conversion, const ProtobufCMessage *message, uint32_t elements_max,
                 struct buffer *to)
{
    int err = conversion->err;

    if (err == 0) err = pack(message, elements_max, to);
    while (conversion->blocks != NULL) {
        struct convert_block *block = conversion->blocks;
        conversion->blocks = block->next;
        free(block);
    }
    return err;
}
