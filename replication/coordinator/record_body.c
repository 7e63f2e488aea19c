/* coordinator/record_body.c - see record_body.h. */
#include "replication/coordinator/record_body.h"

#include "base/assert.h"

static struct codec_writer body_start(struct buffer *to)
{
    struct codec_writer writer = {to, 0};

    codec_put_varint(&writer, BODY_VERSION);
    return writer;
}

/* Reads the version; a newer body is not looked into. */
static int body_open(struct slice body, struct codec_reader *ret_reader)
{
    *ret_reader = codec_reader_of(body);
    uint64_t version = codec_get_varint(ret_reader);

    if (ret_reader->is_bad || version == 0) return MESH_ECORRUPT;
    return version > BODY_VERSION ? MESH_EVERSION : 0;
}

static int body_close(const struct codec_reader *reader)
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

static void put_slice(struct codec_writer *writer, struct slice bytes)
{
    codec_put_varint(writer, bytes.size);
    codec_put_raw(writer, bytes.data, bytes.size);
}

int body_encode_broker(struct buffer *to, const struct body_broker *broker)
{
    struct codec_writer writer = body_start(to);

    codec_put_zigzag(&writer, broker->node_id);
    codec_put_uuid(&writer, &broker->dir_id);
    codec_put_varint(&writer, broker->boot);
    codec_put_varint(&writer, broker->port);
    codec_put_varint(&writer, broker->shard_count);
    put_slice(&writer, broker->name);
    put_slice(&writer, broker->host);
    put_slice(&writer, broker->zone);
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

static void put_replicas(struct codec_writer *writer, const int32_t *replicas, uint32_t count)
{
    codec_put_varint(writer, count);
    for (uint32_t i = 0; i < count; i++)
        codec_put_zigzag(writer, replicas[i]);
}

/* 1..IMAGE_REPLICAS_MAX different node ids > 0. */
static uint32_t get_replicas(struct codec_reader *reader, int32_t replicas[IMAGE_REPLICAS_MAX])
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

    put_slice(&writer, topic->name);
    body_put_configs(&writer, topic->configs, topic->config_count);
    codec_put_varint(&writer, topic->placement_count);
    for (uint32_t i = 0; i < topic->placement_count; i++) {
        codec_put_varint(&writer, placements[i].count);
        put_replicas(&writer, placements[i].replicas, placements[i].replica_count);
    }
    return writer.error;
}

static void get_placement(struct codec_reader *reader, struct body_placement *ret_placement)
{
    ret_placement->count = (uint32_t)codec_get_bounded(reader, IMAGE_TOPIC_PARTITIONS_MAX);
    if (ret_placement->count == 0) reader->is_bad = true;
    ret_placement->replica_count = get_replicas(reader, ret_placement->replicas);
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

void body_put_partition(struct codec_writer *writer, const struct body_partition *partition)
{
    codec_put_varint(writer, partition->partition);
    codec_put_zigzag(writer, partition->leader);
    codec_put_varint(writer, (uint32_t)partition->leader_epoch);
    codec_put_varint(writer, partition->partition_epoch);
    put_replicas(writer, partition->replicas, partition->replica_count);
    codec_put_varint(writer, partition->isr);
}

int body_encode_partitions(struct buffer *to, const struct body_partition *partitions, uint32_t count)
{
    struct codec_writer writer = body_start(to);

    codec_put_varint(&writer, count);
    for (uint32_t i = 0; i < count; i++)
        body_put_partition(&writer, &partitions[i]);
    return writer.error;
}

int body_decode_partitions(struct slice body, struct codec_reader *ret_reader, uint32_t *ret_count)
{
    struct codec_reader reader, probe;
    struct body_partition partition;
    uint32_t count;
    int err = body_open(body, &reader);

    if (err != 0) return err;
    count = (uint32_t)codec_get_bounded(&reader, IMAGE_TOPIC_PARTITIONS_MAX);
    probe = reader;
    for (uint32_t i = 0; i < count; i++) {
        if (body_partition_next(&probe, &partition) != 0) return MESH_ECORRUPT;
    }
    err = body_close(&probe);
    if (err != 0) return err;
    *ret_reader = reader;
    *ret_count = count;
    return 0;
}

static bool partition_is_sound(const struct body_partition *partition)
{
    if (partition->isr >> partition->replica_count != 0) return false; /* in sync, but no replica */
    if (partition->leader == IMAGE_NO_LEADER) return true;
    for (uint32_t i = 0; i < partition->replica_count; i++) {
        if (partition->replicas[i] == partition->leader) return true;
    }
    return false;
}

int body_partition_next(struct codec_reader *reader, struct body_partition *ret_partition)
{
    struct body_partition partition;

    partition.partition = (uint32_t)codec_get_bounded(reader, IMAGE_TOPIC_PARTITIONS_MAX - 1);
    partition.leader = codec_get_int32(reader);
    partition.leader_epoch = (int32_t)codec_get_bounded(reader, INT32_MAX);
    partition.partition_epoch = (uint32_t)codec_get_bounded(reader, UINT32_MAX);
    partition.replica_count = get_replicas(reader, partition.replicas);
    partition.isr = (uint32_t)codec_get_bounded(reader, UINT16_MAX);
    if (reader->is_bad || !partition_is_sound(&partition)) return MESH_ECORRUPT;
    *ret_partition = partition;
    return 0;
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
