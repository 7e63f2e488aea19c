#include "replication/founding/message.h"

#include "replication/founding/parts.h"

#define MESSAGE_VERSION 2 /* 1: without stamps. Still said by who founds nothing: brokers of either version find a mesh */

static void put_address(struct codec_writer *writer, const struct net_address *address)
{
    uint8_t port[2];

    le_store16(port, address->port);
    codec_put_raw(writer, address->ip, sizeof(address->ip));
    codec_put_raw(writer, port, sizeof(port));
}

static struct net_address get_address(struct codec_reader *reader)
{
    struct slice bytes = codec_get_raw(reader, 18);
    struct net_address address = {{0}, 0};

    if (bytes.size != 18) return address;
    memcpy(address.ip, bytes.data, sizeof(address.ip));
    address.port = le_load16(bytes.data + 16);
    return address;
}

static bool has_value(const struct founding_message *message)
{
    return message->phase == FOUNDING_MEMBER || message->accepted.round != 0;
}

int founding_message_encode(const struct founding_message *message, struct buffer *to)
{
    struct codec_writer writer = {to, 0};
    bool has_stamps = message->phase != FOUNDING_MEMBER && message->expect != 0;

    codec_put_varint(&writer, has_stamps ? MESSAGE_VERSION : 1);
    codec_put_varint(&writer, message->kind);
    raft_put_server(&writer, &message->sender);
    put_address(&writer, &message->address);
    codec_put_varint(&writer, message->phase);
    codec_put_varint(&writer, message->expect);
    codec_put_varint(&writer, message->refusal);
    founding_put_ballot(&writer, &message->promised);
    founding_put_ballot(&writer, &message->accepted);
    if (has_value(message)) founding_put_value(&writer, &message->value);
    if (message->refusal == FOUNDING_REFUSES_MARKED) codec_put_uuid(&writer, &message->marker);
    if (message->kind >= FOUNDING_PREPARE) founding_put_ballot(&writer, &message->ballot);
    if (message->kind == FOUNDING_ACCEPT) founding_put_value(&writer, &message->proposal);
    codec_put_varint(&writer, message->mention_count);
    for (size_t i = 0; i < message->mention_count; i++) {
        const struct founding_mention *mention = &message->mentions[i];
        raft_put_server(&writer, &mention->server);
        put_address(&writer, &mention->address);
        codec_put_varint(&writer, mention->expect);
        codec_put_varint(&writer, mention->age_ms);
        if (has_stamps) founding_put_stamp(&writer, &mention->stamp);
    }
    if (has_stamps) founding_put_stamps(&writer, &message->stamps);
    return writer.error;
}

static bool is_sound(const struct founding_message *message)
{
    if (founding_ballot_compare(&message->accepted, &message->promised) > 0) return false;
    if (message->phase == FOUNDING_BLANK && message->promised.round != 0) return false;
    if (message->phase == FOUNDING_PROMISED && message->promised.round == 0) return false;
    if (message->phase != FOUNDING_MEMBER && message->accepted.round != 0 && message->value.founder_count == 0) return false;
    if (message->kind >= FOUNDING_PREPARE && message->ballot.round == 0) return false;
    return message->kind != FOUNDING_ACCEPT || message->proposal.founder_count > 0;
}

int founding_message_decode(struct slice from, struct founding_message *ret_message)
{
    struct founding_message *message = ret_message;
    struct codec_reader reader = codec_reader_of(from);
    uint64_t version = codec_get_varint(&reader);

    memset(message, 0, sizeof(*message));
    if (!reader.is_bad && version > MESSAGE_VERSION) return MESH_EVERSION;
    if (version == 0 || from.size > FOUNDING_MESSAGE_MAX) return MESH_EPROTO;
    message->kind = (enum founding_kind)codec_get_bounded(&reader, FOUNDING_ACCEPT);
    message->sender = founding_get_server(&reader);
    message->address = get_address(&reader);
    message->phase = (enum founding_phase)codec_get_bounded(&reader, FOUNDING_MEMBER);
    message->expect = (uint32_t)codec_get_bounded(&reader, FOUNDING_EXPECT_MAX);
    message->refusal = (enum founding_refusal)codec_get_bounded(&reader, FOUNDING_REFUSALS - 1);
    message->promised = founding_get_ballot(&reader);
    message->accepted = founding_get_ballot(&reader);
    if (!reader.is_bad && has_value(message)) message->value = founding_get_value(&reader);
    if (message->refusal == FOUNDING_REFUSES_MARKED) message->marker = codec_get_uuid(&reader);
    if (message->kind >= FOUNDING_PREPARE) message->ballot = founding_get_ballot(&reader);
    if (message->kind == FOUNDING_ACCEPT) message->proposal = founding_get_value(&reader);
    message->mention_count = codec_get_bounded(&reader, FOUNDING_SERVERS_MAX);
    for (size_t i = 0; i < message->mention_count && !reader.is_bad; i++) {
        struct founding_mention *mention = &message->mentions[i];
        mention->server = founding_get_server(&reader);
        mention->address = get_address(&reader);
        mention->expect = (uint32_t)codec_get_bounded(&reader, FOUNDING_EXPECT_MAX);
        mention->age_ms = (uint32_t)codec_get_bounded(&reader, FOUNDING_AGE_NEVER);
        if (version > 1) mention->stamp = founding_get_stamp(&reader);
    }
    if (version > 1) message->stamps = founding_get_stamps(&reader);
    if (version > 1 && (message->phase == FOUNDING_MEMBER || message->expect == 0)) return MESH_EPROTO; /* who founds nothing has no stamps */
    if (!codec_reader_is_done(&reader) || message->kind == 0 || !is_sound(message)) return MESH_EPROTO;
    return 0;
}
