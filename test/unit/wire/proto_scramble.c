#include "unit/wire/proto_scramble.h"

#include "base/bytes.h"

#include <check.h>
#include <stdlib.h>

#define PIECES_MAX       512
#define FIELD_NUMBER_MAX 32   /* of the messages under test */
#define UNKNOWN_NUMBER   1000 /* fields from here on are not known */
#define TAG_SIZE_MAX     5    /* as other decoders bound tags and lengths */

/* One field with its value, as it will stand in the result. */
struct piece {
    uint32_t number;
    size_t at, size; /* in the scratch buffer */
};

struct scramble {
    struct random *random;
    struct buffer scratch;
    struct piece pieces[PIECES_MAX];
    size_t piece_count;
    bool has_field[FIELD_NUMBER_MAX];
};

static void put(struct buffer *to, const void *data, size_t size)
{
    if (buffer_append(to, data, size) != 0) ck_abort_msg("no memory"); /* Check writes a line for each claim that holds */
}

/* A varint, sometimes with more bytes than it needs. */
static void put_varint(struct random *random, struct buffer *to, uint64_t value, size_t size_max)
{
    uint8_t bytes[VARINT_SIZE_MAX];
    size_t size = (size_t)(varint_encode(bytes, value) - bytes);

    if (random_below(random, 3) == 0) {
        size_t padded = size + random_below(random, size_max - size + 1);
        if (padded > size) {
            bytes[size - 1] |= 0x80;
            while (size < padded - 1)
                bytes[size++] = 0x80;
            bytes[size++] = 0;
        }
    }
    put(to, bytes, size);
}

static void put_bytes(struct random *random, struct buffer *to, struct slice bytes)
{
    put_varint(random, to, bytes.size, TAG_SIZE_MAX);
    put(to, bytes.data, bytes.size);
}

static struct buffer *begin_piece(struct scramble *scramble, uint32_t number, unsigned wire_type)
{
    struct piece *piece = &scramble->pieces[scramble->piece_count++];

    ck_assert_uint_lt(scramble->piece_count, PIECES_MAX);
    piece->number = number;
    piece->at = scramble->scratch.size;
    put_varint(scramble->random, &scramble->scratch, (uint64_t)number << 3 | wire_type, TAG_SIZE_MAX);
    return &scramble->scratch;
}

static void end_piece(struct scramble *scramble)
{
    struct piece *piece = &scramble->pieces[scramble->piece_count - 1];

    piece->size = scramble->scratch.size - piece->at;
}

static bool is_length_delimited(ProtobufCType type)
{
    return type == PROTOBUF_C_TYPE_STRING || type == PROTOBUF_C_TYPE_BYTES || type == PROTOBUF_C_TYPE_MESSAGE;
}

/* An occurrence of a singular field that a later one will overrule. */
static void add_decoy(struct scramble *scramble, const ProtobufCFieldDescriptor *field)
{
    static const uint8_t bytes[16] = "sixteen letters!";
    struct random *random = scramble->random;

    if (field->type == PROTOBUF_C_TYPE_MESSAGE) return; /* what it says would be merged with the later one */
    if (is_length_delimited(field->type)) {
        size_t size =
            field->type == PROTOBUF_C_TYPE_BYTES ? sizeof(bytes) : random_below(random, sizeof(bytes));
        put_bytes(random, begin_piece(scramble, field->id, 2), slice_of(bytes, size));
    } else {
        put_varint(random, begin_piece(scramble, field->id, 0),
                   random_next(random) >> random_below(random, 64), VARINT_SIZE_MAX);
    }
    end_piece(scramble);
}

/* The default written out, for a field that the message leaves out. */
static void add_default(struct scramble *scramble, const ProtobufCFieldDescriptor *field)
{
    struct random *random = scramble->random;

    if (random_below(random, 2) == 0) return;
    if (random_below(random, 2) == 0) add_decoy(scramble, field);
    if (is_length_delimited(field->type))
        put_bytes(random, begin_piece(scramble, field->id, 2), slice_of(NULL, 0));
    else
        put_varint(random, begin_piece(scramble, field->id, 0), 0, VARINT_SIZE_MAX);
    end_piece(scramble);
}

static void add_unknown(struct scramble *scramble)
{
    static const unsigned wire_types[] = {0, 1, 2, 5};
    static const uint8_t bytes[32] = {0xff, 0, 0x80};
    struct random *random = scramble->random;
    unsigned wire_type = wire_types[random_below(random, 4)];
    struct buffer *to =
        begin_piece(scramble, UNKNOWN_NUMBER + (uint32_t)random_below(random, 1 << 20), wire_type);

    switch (wire_type) {
    case 0: put_varint(random, to, random_next(random), VARINT_SIZE_MAX); break;
    case 1: put(to, bytes, 8); break;
    case 2: put_bytes(random, to, slice_of(bytes, random_below(random, sizeof(bytes)))); break;
    default: put(to, bytes, 4); break;
    }
    end_piece(scramble);
}

/* Packed numbers: one by one, or packed in two parts. */
static void add_numbers(struct scramble *scramble, const ProtobufCFieldDescriptor *field, struct slice packed)
{
    const uint8_t *at = packed.data, *end = packed.data + packed.size;

    while (at < end) {
        const uint8_t *start = at;
        uint64_t value;

        at = varint_decode(at, end, &value);
        ck_assert_ptr_nonnull(at);
        if (random_below(scramble->random, 4) == 0) {
            put_bytes(scramble->random, begin_piece(scramble, field->id, 2),
                      slice_of(start, (size_t)(end - start)));
            at = end;
        } else {
            put_varint(scramble->random, begin_piece(scramble, field->id, 0), value, VARINT_SIZE_MAX);
        }
        end_piece(scramble);
    }
}

static void add_content(struct scramble *scramble, const ProtobufCFieldDescriptor *field,
                        struct slice content)
{
    struct buffer inner = BUFFER_INIT;

    if (!is_length_delimited(field->type)) {
        add_numbers(scramble, field, content);
        return;
    }
    if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
        proto_scramble(field->descriptor, content, scramble->random, &inner);
        content = buffer_slice(&inner);
    }
    put_bytes(scramble->random, begin_piece(scramble, field->id, 2), content);
    end_piece(scramble);
    buffer_deinit(&inner);
}

static void cut_into_pieces(struct scramble *scramble, const ProtobufCMessageDescriptor *descriptor,
                            struct slice message)
{
    const uint8_t *at = message.data, *end = message.size == 0 ? at : at + message.size;

    while (at < end) {
        const ProtobufCFieldDescriptor *field;
        uint64_t tag, value;

        at = varint_decode(at, end, &tag);
        ck_assert_ptr_nonnull(at);
        field = protobuf_c_message_descriptor_get_field(descriptor, (unsigned)(tag >> 3));
        ck_assert_ptr_nonnull(field);
        ck_assert_uint_lt(field->id, FIELD_NUMBER_MAX);
        scramble->has_field[field->id] = true;
        if (field->label != PROTOBUF_C_LABEL_REPEATED && random_below(scramble->random, 3) == 0)
            add_decoy(scramble, field);
        at = varint_decode(at, end, &value);
        ck_assert_ptr_nonnull(at);
        if ((tag & 7) == 0) {
            put_varint(scramble->random, begin_piece(scramble, field->id, 0), value, VARINT_SIZE_MAX);
            end_piece(scramble);
        } else {
            ck_assert_uint_eq(tag & 7, 2);
            add_content(scramble, field, slice_of(at, value));
            at += value;
        }
    }
}

/* Writes the pieces in random order, but those of one field in theirs. */
static void write_shuffled(struct scramble *scramble, struct buffer *to)
{
    size_t order[PIECES_MAX];
    bool is_written[PIECES_MAX] = {false};

    for (size_t i = 0; i < scramble->piece_count; i++)
        order[i] = i;
    for (size_t i = scramble->piece_count; i > 1; i--) {
        size_t j = random_below(scramble->random, i), swap = order[j];
        order[j] = order[i - 1];
        order[i - 1] = swap;
    }
    for (size_t i = 0; i < scramble->piece_count; i++) {
        size_t next = 0; /* the first unwritten piece of the field whose turn it is */
        while (is_written[next] || scramble->pieces[next].number != scramble->pieces[order[i]].number)
            next++;
        is_written[next] = true;
        put(to, scramble->scratch.data + scramble->pieces[next].at, scramble->pieces[next].size);
    }
}

void proto_scramble(const ProtobufCMessageDescriptor *descriptor, struct slice message, struct random *random,
                    struct buffer *to)
{
    struct scramble *scramble = calloc(1, sizeof(*scramble));

    ck_assert_ptr_nonnull(scramble);
    scramble->random = random;
    cut_into_pieces(scramble, descriptor, message);
    for (unsigned i = 0; i < descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &descriptor->fields[i];
        if (!scramble->has_field[field->id] && field->label != PROTOBUF_C_LABEL_REPEATED)
            add_default(scramble, field);
    }
    for (size_t unknown_count = random_below(random, 3); unknown_count > 0; unknown_count--)
        add_unknown(scramble);
    write_shuffled(scramble, to);
    buffer_deinit(&scramble->scratch);
    free(scramble);
}
