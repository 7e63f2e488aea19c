/* coordinator/record_body.c - see record_body.h. */
#include "replication/coordinator/record_body.h"

#include "base/assert.h"

#define BROKER_FLAGS (BODY_BROKER_FENCED | BODY_BROKER_DRAINING | BODY_BROKER_WITNESS | BODY_BROKER_BAD_DISK)

/* What a changed partition says besides: these parts follow. */
#define PARTITION_REPLICAS 1u
#define PARTITION_ELR      2u
#define PARTITION_FRESH    4u
#define PARTITION_ELECTION 8u
#define PARTITION_MOVE     16u
#define PARTITION_QUEUED   32u /* of the move; nothing follows */
#define PARTITION_SEALING  64u /* nothing follows */
#define PARTITION_PINNED   256u /* nothing follows */
#define PARTITION_RESET    128u
#define PARTITION_FLAGS    511u

struct codec_writer body_start(struct buffer *to)
{
    struct codec_writer writer = {to, 0};

    codec_put_varint(&writer, BODY_VERSION);
    return writer;
}

int body_open(struct slice body, struct codec_reader *ret_reader)
{
    *ret_reader = codec_reader_of(body);
    uint64_t version = codec_get_varint(ret_reader);

    if (ret_reader->is_bad || version == 0) return MESH_ECORRUPT;
    return version > BODY_VERSION ? MESH_EVERSION : 0;
}

int body_close(const struct codec_reader *reader)
{
    return codec_reader_is_done(reader) ? 0 : MESH_ECORRUPT;
}

int body_encode_empty(struct buffer *to)
{
    return body_start(to).error;
}

int body_decode_empty(struct slice body)
{
    struct codec_reader reader;
    int err = body_open(body, &reader);

    return err != 0 ? err : body_close(&reader);
}

int body_encode_broker(struct buffer *to, const struct body_broker *broker)
{
    struct codec_writer writer = body_start(to);

    codec_put_zigzag(&writer, broker->node_id);
    codec_put_uuid(&writer, &broker->dir_id);
    codec_put_varint(&writer, broker->boot);
    codec_put_varint(&writer, broker->port);
    codec_put_varint(&writer, broker->shard_count);
    codec_put_varint(&writer, broker->flags);
    body_put_slice(&writer, broker->name);
    body_put_slice(&writer, broker->host);
    body_put_slice(&writer, broker->zone);
    return writer.error;
}

int body_decode_broker(struct slice body, struct body_broker *ret_broker)
{
    struct codec_reader reader;
    struct body_broker broker;
    int err = body_open(body, &reader);

    if (err != 0) return err;
    broker.node_id = codec_get_int32(&reader);
    broker.dir_id = codec_get_uuid(&reader);
    broker.boot = codec_get_varint(&reader);
    broker.port = (uint16_t)codec_get_bounded(&reader, UINT16_MAX);
    broker.shard_count = (uint32_t)codec_get_bounded(&reader, UINT16_MAX);
    broker.flags = (uint32_t)codec_get_bounded(&reader, BROKER_FLAGS);
    broker.name = codec_get_string(&reader, IMAGE_BROKER_STRING_SIZE_MAX);
    broker.host = codec_get_string(&reader, IMAGE_BROKER_STRING_SIZE_MAX);
    broker.zone = codec_get_string(&reader, IMAGE_BROKER_STRING_SIZE_MAX);
    err = body_close(&reader);
    if (err != 0) return err;
    if (broker.node_id <= 0 || broker.shard_count == 0) return MESH_ECORRUPT;
    *ret_broker = broker;
    return 0;
}

void body_put_configs(struct codec_writer *writer, const struct image_config *configs, uint32_t count)
{
    codec_put_varint(writer, count);
    for (uint32_t i = 0; i < count; i++) {
        codec_put_varint(writer, configs[i].id);
        codec_put_zigzag(writer, configs[i].value);
    }
}

uint32_t body_get_configs(struct codec_reader *reader, struct image_config configs[TOPIC_CONFIG_COUNT])
{
    uint32_t count = (uint32_t)codec_get_bounded(reader, TOPIC_CONFIG_COUNT);

    for (uint32_t i = 0; i < count; i++) {
        configs[i].id = (enum topic_config_id)codec_get_bounded(reader, TOPIC_CONFIG_COUNT - 1);
        configs[i].value = codec_get_zigzag(reader);
        if (reader->is_bad) return 0;
        if ((i > 0 && configs[i].id <= configs[i - 1].id) ||
            topic_config_check(configs[i].id, configs[i].value) != 0)
            reader->is_bad = true;
    }
    return count;
}

void body_put_replicas(struct codec_writer *writer, const int32_t *replicas, uint32_t count)
{
    codec_put_varint(writer, count);
    for (uint32_t i = 0; i < count; i++)
        codec_put_zigzag(writer, replicas[i]);
}

/* 1..IMAGE_REPLICAS_MAX different node ids > 0. */
uint32_t body_get_replicas(struct codec_reader *reader, int32_t replicas[IMAGE_REPLICAS_MAX])
{
    uint32_t count = (uint32_t)codec_get_bounded(reader, IMAGE_REPLICAS_MAX);

    if (count == 0) reader->is_bad = true;
    for (uint32_t i = 0; i < count; i++) {
        replicas[i] = codec_get_int32(reader);
        if (replicas[i] <= 0) reader->is_bad = true;
        for (uint32_t j = 0; j < i; j++) {
            if (replicas[j] == replicas[i]) reader->is_bad = true;
        }
    }
    return count;
}

int body_encode_topic(struct buffer *to, const struct body_topic *topic,
                      const struct body_placement *placements)
{
    struct codec_writer writer = body_start(to);

    body_put_slice(&writer, topic->name);
    body_put_configs(&writer, topic->configs, topic->config_count);
    codec_put_varint(&writer, topic->placement_count);
    for (uint32_t i = 0; i < topic->placement_count; i++) {
        codec_put_varint(&writer, placements[i].count);
        body_put_replicas(&writer, placements[i].replicas, placements[i].replica_count);
    }
    return writer.error;
}

static void get_placement(struct codec_reader *reader, struct body_placement *ret_placement)
{
    ret_placement->count = (uint32_t)codec_get_bounded(reader, IMAGE_TOPIC_PARTITIONS_MAX);
    if (ret_placement->count == 0) reader->is_bad = true;
    ret_placement->replica_count = body_get_replicas(reader, ret_placement->replicas);
}

int body_decode_topic(struct slice body, struct body_topic *ret_topic)
{
    struct codec_reader reader;
    struct body_topic topic = {.partition_count = 0};
    int err = body_open(body, &reader);

    if (err != 0) return err;
    topic.name = codec_get_string(&reader, 255);
    topic.config_count = body_get_configs(&reader, topic.configs);
    topic.placement_count = (uint32_t)codec_get_bounded(&reader, IMAGE_TOPIC_PARTITIONS_MAX);
    topic.placements = reader;
    for (uint32_t i = 0; i < topic.placement_count && !reader.is_bad; i++) {
        struct body_placement placement;
        get_placement(&reader, &placement);
        topic.partition_count += placement.count;
        if (topic.partition_count > IMAGE_TOPIC_PARTITIONS_MAX) return MESH_ECORRUPT;
    }
    err = body_close(&reader);
    if (err == 0) *ret_topic = topic;
    return err;
}

bool body_placement_next(struct body_topic *topic, struct body_placement *ret_placement)
{
    if (topic->placements.at == topic->placements.end) return false;
    get_placement(&topic->placements, ret_placement);
    MESH_ASSERT(!topic->placements.is_bad); /* body_decode_topic() has walked it */
    return true;
}

/* ---- partitions ---- */

int body_encode_partitions_start(struct buffer *to)
{
    return body_start(to).error;
}

static uint32_t parts_of(const struct body_partition *partition)
{
    uint32_t flags = 0;

    if (partition->replica_count != 0) flags |= PARTITION_REPLICAS;
    if (partition->elr != 0 || partition->last_known_elr != 0) flags |= PARTITION_ELR;
    if (partition->fresh != 0) flags |= PARTITION_FRESH;
    if (partition->election.reason != IMAGE_ELECTION_NONE) flags |= PARTITION_ELECTION;
    if (partition->adding != 0 || partition->removing != 0) flags |= PARTITION_MOVE;
    if (partition->is_queued) flags |= PARTITION_QUEUED;
    if (partition->is_sealing) flags |= PARTITION_SEALING;
    if (partition->is_pinned) flags |= PARTITION_PINNED;
    if (partition->reset_epoch != 0) flags |= PARTITION_RESET;
    return flags;
}

int body_encode_partition(struct buffer *to, const struct body_partition *partition)
{
    struct codec_writer writer = {to, 0};
    uint32_t flags = parts_of(partition);

    codec_put_varint(&writer, partition->partition);
    codec_put_varint(&writer, flags);
    codec_put_zigzag(&writer, partition->leader);
    codec_put_varint(&writer, (uint32_t)partition->leader_epoch);
    codec_put_varint(&writer, partition->partition_epoch);
    codec_put_varint(&writer, partition->isr);
    if (flags & PARTITION_REPLICAS) body_put_replicas(&writer, partition->replicas, partition->replica_count);
    if (flags & PARTITION_ELR) {
        codec_put_varint(&writer, partition->elr);
        codec_put_varint(&writer, partition->last_known_elr);
    }
    if (flags & PARTITION_FRESH) codec_put_varint(&writer, partition->fresh);
    if (flags & PARTITION_MOVE) {
        codec_put_varint(&writer, partition->adding);
        codec_put_varint(&writer, partition->removing);
    }
    if (flags & PARTITION_RESET) codec_put_varint(&writer, partition->reset_epoch);
    if (flags & PARTITION_ELECTION) body_put_election(&writer, &partition->election);
    return writer.error;
}

int body_encode_partitions(struct buffer *to, const struct body_partition *partitions, uint32_t count)
{
    int err = body_encode_partitions_start(to);

    for (uint32_t i = 0; i < count && err == 0; i++)
        err = body_encode_partition(to, &partitions[i]);
    return err;
}

bool body_partition_next(struct codec_reader *reader, struct body_partition *ret_partition)
{
    uint32_t flags;

    if (reader->is_bad || reader->at == reader->end) return false;
    ret_partition->partition = (uint32_t)codec_get_bounded(reader, IMAGE_TOPIC_PARTITIONS_MAX - 1);
    flags = (uint32_t)codec_get_bounded(reader, PARTITION_FLAGS);
    ret_partition->leader = codec_get_int32(reader);
    ret_partition->leader_epoch = (int32_t)codec_get_bounded(reader, INT32_MAX);
    ret_partition->partition_epoch = (uint32_t)codec_get_bounded(reader, UINT32_MAX);
    ret_partition->isr = (uint32_t)codec_get_bounded(reader, UINT16_MAX);
    ret_partition->replica_count = 0;
    if (flags & PARTITION_REPLICAS) ret_partition->replica_count = body_get_replicas(reader, ret_partition->replicas);
    ret_partition->elr = flags & PARTITION_ELR ? (uint32_t)codec_get_bounded(reader, UINT16_MAX) : 0;
    ret_partition->last_known_elr = flags & PARTITION_ELR ? (uint32_t)codec_get_bounded(reader, UINT16_MAX) : 0;
    ret_partition->fresh = flags & PARTITION_FRESH ? (uint32_t)codec_get_bounded(reader, UINT16_MAX) : 0;
    ret_partition->adding = flags & PARTITION_MOVE ? (uint32_t)codec_get_bounded(reader, UINT16_MAX) : 0;
    ret_partition->removing = flags & PARTITION_MOVE ? (uint32_t)codec_get_bounded(reader, UINT16_MAX) : 0;
    ret_partition->is_queued = (flags & PARTITION_QUEUED) != 0;
    ret_partition->is_sealing = (flags & PARTITION_SEALING) != 0;
    ret_partition->is_pinned = (flags & PARTITION_PINNED) != 0;
    ret_partition->reset_epoch = flags & PARTITION_RESET ? (uint32_t)codec_get_bounded(reader, UINT32_MAX) : 0;
    ret_partition->election.reason = IMAGE_ELECTION_NONE;
    if (flags & PARTITION_ELECTION) body_get_election(reader, IMAGE_REPLICAS_MAX, &ret_partition->election);
    return !reader->is_bad;
}

int body_decode_partitions(struct slice body, struct codec_reader *ret_reader)
{
    struct codec_reader reader, probe;
    struct body_partition partition;
    int err = body_open(body, &reader);

    if (err != 0) return err;
    probe = reader;
    while (body_partition_next(&probe, &partition)) {
    }
    if (probe.is_bad) return MESH_ECORRUPT;
    *ret_reader = reader;
    return 0;
}

/* Something stays, something was there before, and only what adds can wait. */
static bool is_move_sound(const struct body_partition *partition)
{
    uint32_t replicas = (1u << partition->replica_count) - 1;

    if ((partition->adding & partition->removing) != 0) return false;
    if (partition->adding == replicas || partition->removing == replicas) return false;
    return !partition->is_queued || partition->adding != 0;
}

bool body_partition_is_sound(const struct body_partition *partition)
{
    uint32_t all = partition->isr | partition->elr | partition->last_known_elr | partition->fresh;

    if ((all | partition->adding | partition->removing) >> partition->replica_count != 0)
        return false; /* about a replica that there is not */
    if (!is_move_sound(partition) || (partition->is_sealing && partition->leader != IMAGE_NO_LEADER)) return false;
    if ((partition->isr & partition->elr) != 0 || (partition->isr & partition->last_known_elr) != 0 ||
        (partition->elr & partition->last_known_elr) != 0)
        return false;
    if (partition->leader == IMAGE_NO_LEADER) return true;
    for (uint32_t i = 0; i < partition->replica_count; i++) {
        if (partition->replicas[i] == partition->leader) return (partition->isr >> i & 1) != 0;
    }
    return false;
}

void body_put_election(struct codec_writer *writer, const struct body_election *election)
{
    codec_put_varint(writer, election->reason);
    codec_put_varint(writer, election->candidate_count);
    for (uint32_t i = 0; i < election->candidate_count; i++) {
        const struct image_candidate *candidate = &election->candidates[i];
        codec_put_zigzag(writer, candidate->score);
        codec_put_zigzag(writer, candidate->node_id);
        codec_put_varint(writer, candidate->flags);
        codec_put_varint(writer, candidate->log);
        codec_put_varint(writer, candidate->health);
        codec_put_varint(writer, candidate->load);
    }
}

void body_get_election(struct codec_reader *reader, uint32_t replica_count_max, struct body_election *ret_election)
{
    ret_election->reason = (enum image_election_reason)codec_get_bounded(reader, UINT8_MAX);
    ret_election->candidate_count = (uint32_t)codec_get_bounded(reader, replica_count_max);
    if (ret_election->reason == IMAGE_ELECTION_NONE) reader->is_bad = true;
    for (uint32_t i = 0; i < ret_election->candidate_count; i++) {
        struct image_candidate *candidate = &ret_election->candidates[i];
        candidate->score = codec_get_zigzag(reader);
        candidate->node_id = codec_get_int32(reader);
        candidate->flags = (uint8_t)codec_get_bounded(reader, UINT8_MAX);
        candidate->log = (uint8_t)codec_get_bounded(reader, UINT8_MAX);
        candidate->health = (uint8_t)codec_get_bounded(reader, UINT8_MAX);
        candidate->load = (uint8_t)codec_get_bounded(reader, UINT8_MAX);
    }
}

/* ---- the rest ---- */

int body_encode_deletion(struct buffer *to, const struct image_deletion *deletion)
{
    struct codec_writer writer = body_start(to);

    codec_put_varint(&writer, deletion->partition);
    codec_put_varint(&writer, (uint32_t)deletion->leader_epoch);
    codec_put_varint(&writer, deletion->offset);
    return writer.error;
}

int body_decode_deletion(struct slice body, struct image_deletion *ret_deletion)
{
    struct image_deletion deletion = {.partition = 0};
    struct codec_reader reader;
    int err = body_open(body, &reader);

    if (err != 0) return err;
    deletion.partition = (uint32_t)codec_get_bounded(&reader, IMAGE_TOPIC_PARTITIONS_MAX - 1);
    deletion.leader_epoch = (int32_t)codec_get_bounded(&reader, INT32_MAX);
    deletion.offset = codec_get_bounded(&reader, INT64_MAX);
    err = body_close(&reader);
    if (err == 0 && deletion.offset == 0) err = MESH_ECORRUPT;
    if (err == 0) *ret_deletion = deletion;
    return err;
}

int body_encode_producer_ids(struct buffer *to, const struct body_producer_ids *ids)
{
    struct codec_writer writer = body_start(to);

    codec_put_zigzag(&writer, ids->node_id);
    codec_put_zigzag(&writer, ids->first);
    codec_put_varint(&writer, ids->count);
    return writer.error;
}

int body_decode_producer_ids(struct slice body, struct body_producer_ids *ret_ids)
{
    struct codec_reader reader;
    struct body_producer_ids ids;
    int err = body_open(body, &reader);

    if (err != 0) return err;
    ids.node_id = codec_get_int32(&reader);
    ids.first = codec_get_zigzag(&reader);
    ids.count = (uint32_t)codec_get_bounded(&reader, UINT32_MAX);
    err = body_close(&reader);
    if (err != 0) return err;
    if (ids.first < 0 || ids.count == 0 || ids.first > INT64_MAX - (int64_t)ids.count) return MESH_ECORRUPT;
    *ret_ids = ids;
    return 0;
}
