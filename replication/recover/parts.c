#include "replication/recover/parts.h"

#include "base/error.h"

int recover_ballot_compare(const struct recover_ballot *a, const struct recover_ballot *b)
{
    if (a->round != b->round) return a->round < b->round ? -1 : 1;
    return a->round == 0 ? 0 : memcmp(a->proposer.bytes, b->proposer.bytes, UUID_SIZE);
}

bool recover_value_equal(const struct recover_value *a, const struct recover_value *b)
{
    return a->history == b->history && uuid_equal(&a->chosen, &b->chosen);
}

/* ---- the party ---- */

/* Where id is, or belongs. */
static size_t place_of(const struct recover_party *party, const struct uuid *id)
{
    size_t from = 0, until = party->count;

    while (from < until) {
        size_t middle = (from + until) / 2;

        if (memcmp(party->brokers[middle].id.bytes, id->bytes, UUID_SIZE) < 0)
            from = middle + 1;
        else
            until = middle;
    }
    return from;
}

const struct recover_broker *recover_party_find(const struct recover_party *party, const struct uuid *id)
{
    size_t place = place_of(party, id);

    return place < party->count && uuid_equal(&party->brokers[place].id, id) ? &party->brokers[place] : NULL;
}

int recover_party_add(struct recover_party *party, const struct uuid *id, bool is_lost)
{
    size_t place = place_of(party, id);
    struct recover_broker *broker = &party->brokers[place];

    if (place < party->count && uuid_equal(&broker->id, id)) {
        broker->is_lost |= is_lost;
        return 0;
    }
    if (party->count == RECOVER_BROKERS_MAX) return MESH_EFULL;
    memmove(broker + 1, broker, (party->count - place) * sizeof(*broker));
    *broker = (struct recover_broker){*id, is_lost};
    party->count++;
    return 0;
}

/* ---- bytes ---- */

void recover_put_ballot(struct codec_writer *writer, const struct recover_ballot *ballot)
{
    codec_put_varint(writer, ballot->round);
    if (ballot->round != 0) codec_put_uuid(writer, &ballot->proposer);
}

struct recover_ballot recover_get_ballot(struct codec_reader *reader)
{
    struct recover_ballot ballot = {.round = codec_get_bounded(reader, RECOVER_ROUND_MAX)};

    if (ballot.round != 0) ballot.proposer = codec_get_uuid(reader);
    return ballot;
}

void recover_put_value(struct codec_writer *writer, const struct recover_value *value)
{
    codec_put_varint(writer, value->history);
    codec_put_uuid(writer, &value->chosen);
}

struct recover_value recover_get_value(struct codec_reader *reader)
{
    struct recover_value value = {.history = codec_get_bounded(reader, RECOVER_HISTORY_MAX)};

    value.chosen = codec_get_uuid(reader);
    return value;
}

void recover_put_party(struct codec_writer *writer, const struct recover_party *party)
{
    codec_put_varint(writer, party->count);
    for (size_t i = 0; i < party->count; i++) {
        codec_put_uuid(writer, &party->brokers[i].id);
        codec_put_varint(writer, party->brokers[i].is_lost);
    }
}

void recover_get_party(struct codec_reader *reader, struct recover_party *party)
{
    size_t count = (size_t)codec_get_bounded(reader, RECOVER_BROKERS_MAX);

    party->count = 0;
    for (size_t i = 0; i < count && !reader->is_bad; i++) {
        struct uuid id = codec_get_uuid(reader);
        bool is_lost = codec_get_bounded(reader, 1) != 0;

        if (i > 0 && memcmp(party->brokers[i - 1].id.bytes, id.bytes, UUID_SIZE) >= 0) reader->is_bad = true;
        party->brokers[party->count++] = (struct recover_broker){id, is_lost};
    }
}
