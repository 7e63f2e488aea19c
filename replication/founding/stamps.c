#include "replication/founding/stamps.h"

void founding_stamps_add(struct founding_stamps *stamps, uint64_t nonce)
{
    stamps->number++;
    stamps->nonces[stamps->number % FOUNDING_STAMPS_MAX] = nonce;
}

struct founding_stamp founding_stamps_newest(const struct founding_stamps *stamps)
{
    if (stamps->number == 0) return (struct founding_stamp){0, 0};
    return (struct founding_stamp){stamps->number, stamps->nonces[stamps->number % FOUNDING_STAMPS_MAX]};
}

enum founding_bond founding_stamps_judge(const struct founding_stamps *stamps, const struct founding_stamp *heard)
{
    if (heard->number > stamps->number) return FOUNDING_BOND_AHEAD;
    if (heard->number == 0 || heard->number + FOUNDING_STAMPS_MAX <= stamps->number) return FOUNDING_BOND_HELD;
    return stamps->nonces[heard->number % FOUNDING_STAMPS_MAX] == heard->nonce ? FOUNDING_BOND_HELD : FOUNDING_BOND_BROKEN;
}

/* ---- bytes ---- */

static uint64_t count_of(uint64_t number)
{
    return number < FOUNDING_STAMPS_MAX ? number : FOUNDING_STAMPS_MAX;
}

static void put_nonce(struct codec_writer *writer, uint64_t nonce)
{
    uint8_t bytes[8];

    le_store64(bytes, nonce);
    codec_put_raw(writer, bytes, sizeof(bytes));
}

static uint64_t get_nonce(struct codec_reader *reader)
{
    struct slice bytes = codec_get_raw(reader, 8);

    return bytes.size == 8 ? le_load64(bytes.data) : 0;
}

void founding_put_stamps(struct codec_writer *writer, const struct founding_stamps *stamps)
{
    codec_put_varint(writer, stamps->number);
    for (uint64_t i = 0; i < count_of(stamps->number); i++)
        put_nonce(writer, stamps->nonces[(stamps->number - i) % FOUNDING_STAMPS_MAX]);
}

struct founding_stamps founding_get_stamps(struct codec_reader *reader)
{
    struct founding_stamps stamps = {.number = codec_get_bounded(reader, FOUNDING_STAMP_NUMBER_MAX)};

    for (uint64_t i = 0; i < count_of(stamps.number) && !reader->is_bad; i++)
        stamps.nonces[(stamps.number - i) % FOUNDING_STAMPS_MAX] = get_nonce(reader);
    return stamps;
}

void founding_put_stamp(struct codec_writer *writer, const struct founding_stamp *stamp)
{
    codec_put_varint(writer, stamp->number);
    if (stamp->number != 0) put_nonce(writer, stamp->nonce);
}

struct founding_stamp founding_get_stamp(struct codec_reader *reader)
{
    struct founding_stamp stamp = {.number = codec_get_bounded(reader, FOUNDING_STAMP_NUMBER_MAX)};

    if (stamp.number != 0 && !reader->is_bad) stamp.nonce = get_nonce(reader);
    return stamp;
}
