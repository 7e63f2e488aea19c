#include "replication/recover/message.h"

#include "base/error.h"
#include "replication/recover/parts.h"

static void put_position(struct codec_writer *writer, const struct raft_position *position)
{
    codec_put_varint(writer, position->index);
    codec_put_varint(writer, position->term);
    codec_put_raw(writer, position->chain, RAFT_CHAIN_SIZE);
}

static struct raft_position get_position(struct codec_reader *reader)
{
    struct raft_position position = {.index = codec_get_varint(reader)};
    struct slice chain;

    position.term = codec_get_varint(reader);
    chain = codec_get_raw(reader, RAFT_CHAIN_SIZE);
    if (chain.size == RAFT_CHAIN_SIZE) memcpy(position.chain, chain.data, RAFT_CHAIN_SIZE);
    return position;
}

static void put_text(struct codec_writer *writer, struct slice text)
{
    codec_put_varint(writer, text.size);
    if (text.size != 0) codec_put_raw(writer, text.data, text.size);
}

/* ---- the answer ---- */

static void put_facts(struct codec_writer *writer, const struct recover_facts *facts)
{
    codec_put_varint(writer, facts->history);
    codec_put_varint(writer, facts->begun);
    codec_put_varint(writer, facts->term);
    put_position(writer, &facts->last);
    put_position(writer, &facts->committed);
    codec_put_varint(writer, facts->is_voter);
    codec_put_varint(writer, facts->is_damaged);
}

static struct recover_facts get_facts(struct codec_reader *reader)
{
    struct recover_facts facts = {.history = codec_get_bounded(reader, RECOVER_HISTORY_MAX)};

    facts.begun = codec_get_bounded(reader, RECOVER_HISTORY_MAX);
    facts.term = codec_get_varint(reader);
    facts.last = get_position(reader);
    facts.committed = get_position(reader);
    facts.is_voter = codec_get_bounded(reader, 1) != 0;
    facts.is_damaged = codec_get_bounded(reader, 1) != 0;
    return facts;
}

static void put_answer(struct codec_writer *writer, const struct recover_message *message)
{
    put_position(writer, &message->position);
    recover_put_ballot(writer, &message->promised);
    recover_put_ballot(writer, &message->accepted);
    if (message->accepted.round != 0) {
        recover_put_value(writer, &message->value);
        recover_put_party(writer, message->party);
    }
    put_facts(writer, &message->facts);
    codec_put_varint(writer, message->holds);
    put_text(writer, message->text);
}

static void get_answer(struct codec_reader *reader, struct recover_message *message)
{
    message->position = get_position(reader);
    message->promised = recover_get_ballot(reader);
    message->accepted = recover_get_ballot(reader);
    if (message->accepted.round != 0) {
        message->value = recover_get_value(reader);
        recover_get_party(reader, message->party);
    }
    message->facts = get_facts(reader);
    message->holds = codec_get_bounded(reader, 1) != 0;
    message->text = codec_get_string(reader, RECOVER_TEXT_SIZE - 1);
}

/* ---- all ---- */

static void put_fields(struct codec_writer *writer, const struct recover_message *message)
{
    switch (message->type) {
    case RECOVER_ASK:
        put_position(writer, &message->position);
        recover_put_party(writer, message->party);
        return;
    case RECOVER_ANSWER: put_answer(writer, message); return;
    case RECOVER_ACCEPT:
        recover_put_value(writer, &message->value);
        put_position(writer, &message->position);
        recover_put_party(writer, message->party);
        return;
    case RECOVER_ACCEPTED:
        recover_put_ballot(writer, &message->promised);
        codec_put_varint(writer, message->is_ok);
        put_text(writer, message->text);
        return;
    case RECOVER_BEGIN:
        recover_put_value(writer, &message->value);
        recover_put_party(writer, message->party);
        return;
    case RECOVER_BEGUN: codec_put_varint(writer, message->facts.begun); return;
    case RECOVER_RELEASE: return;
    }
}

int recover_message_encode(struct buffer *to, const struct recover_message *message)
{
    struct codec_writer writer = {.to = to};
    size_t size = to->size;
    uint8_t type = (uint8_t)message->type;

    codec_put_raw(&writer, &type, 1);
    recover_put_ballot(&writer, &message->ballot);
    put_fields(&writer, message);
    if (writer.error != 0) to->size = size;
    return writer.error;
}

static void get_fields(struct codec_reader *reader, struct recover_message *message)
{
    switch (message->type) {
    case RECOVER_ASK:
        message->position = get_position(reader);
        recover_get_party(reader, message->party);
        return;
    case RECOVER_ANSWER: get_answer(reader, message); return;
    case RECOVER_ACCEPT:
        message->value = recover_get_value(reader);
        message->position = get_position(reader);
        recover_get_party(reader, message->party);
        if (message->value.history == 0 || message->ballot.round == 0) reader->is_bad = true;
        return;
    case RECOVER_ACCEPTED:
        message->promised = recover_get_ballot(reader);
        message->is_ok = codec_get_bounded(reader, 1) != 0;
        message->text = codec_get_string(reader, RECOVER_TEXT_SIZE - 1);
        return;
    case RECOVER_BEGIN:
        message->value = recover_get_value(reader);
        recover_get_party(reader, message->party);
        return;
    case RECOVER_BEGUN: message->facts.begun = codec_get_bounded(reader, RECOVER_HISTORY_MAX); return;
    case RECOVER_RELEASE: return;
    }
    reader->is_bad = true; /* of a newer mesh */
}

int recover_message_decode(struct slice from, struct recover_message *message)
{
    struct recover_party *party = message->party;
    struct codec_reader reader;

    *message = (struct recover_message){.party = party};
    party->count = 0;
    if (from.size == 0) return MESH_EPROTO;
    message->type = (enum recover_message_type)from.data[0];
    reader = codec_reader_of(slice_of(from.data + 1, from.size - 1));
    message->ballot = recover_get_ballot(&reader);
    get_fields(&reader, message);
    return codec_reader_is_done(&reader) ? 0 : MESH_EPROTO;
}
