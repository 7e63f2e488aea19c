/* broker/front/kafka/errors.c - see errors.h. Codes: KAFKA-WIRE section 2.5. */
#include "cmd/broker/front/kafka/errors.h"

#include "base/error.h"

#include <stddef.h>

struct code {
    int error;
    int16_t code;
};

static const struct code codes[] = {
    {0, KAFKA_CODE_NONE},
    {MESH_EUNKNOWN_TOPIC, KAFKA_CODE_UNKNOWN_TOPIC_OR_PARTITION},
    {MESH_EOFFSET_OUT_OF_RANGE, 1},
    {MESH_ECORRUPT, 2},
    {MESH_ENOT_LEADER, KAFKA_CODE_NOT_LEADER},
    /* Nothing was done, and another broker, or this one a little later, does it: every client asks for metadata again and retries. */
    {MESH_EBUSY, KAFKA_CODE_NOT_LEADER},
    {MESH_EAGAIN, KAFKA_CODE_NOT_LEADER},
    {MESH_ESHUTDOWN, KAFKA_CODE_NOT_LEADER},
    {MESH_EUNREACHABLE, KAFKA_CODE_NOT_LEADER},
    {MESH_ECLOSED, KAFKA_CODE_NOT_LEADER},
    {MESH_ENOMEM, KAFKA_CODE_NOT_LEADER},
    {MESH_ETIMEDOUT, 7},
    {MESH_ETOOLARGE, 10},
    {MESH_EINVALID_TOPIC, KAFKA_CODE_INVALID_TOPIC},
    {MESH_ENOT_ENOUGH_REPLICAS, 19},
    {MESH_EUNCOMMITTED, 20},
    {MESH_EUNAUTHORIZED, 29},
    {MESH_EINVALID_TIMESTAMP, 32},
    {MESH_EUNSUPPORTED, KAFKA_CODE_UNSUPPORTED_VERSION},
    {MESH_ETOPIC_EXISTS, 36},
    {MESH_EINVALID_PARTITIONS, 37},
    {MESH_EINVALID_REPLICATION, 38},
    {MESH_EINVALID_CONFIG, 40},
    {MESH_ENO_COORDINATOR, KAFKA_CODE_NOT_CONTROLLER},
    {MESH_EINVAL, KAFKA_CODE_INVALID_REQUEST},
    {MESH_EPROTO, KAFKA_CODE_INVALID_REQUEST},
    {MESH_EOUT_OF_ORDER_SEQUENCE, 45},
    {MESH_EDUPLICATE_SEQUENCE, 46},
    {MESH_EPRODUCER_FENCED, 47},
    {MESH_ESTORAGE, 56},
    {MESH_EIO, 56},
    {MESH_EFULL, 56},
    {MESH_ESTALE_EPOCH, 74},
    {MESH_EUNKNOWN_EPOCH, 75},
    {MESH_EUNSUPPORTED_COMPRESSION, 76},
    {MESH_EINVALID_RECORD, KAFKA_CODE_INVALID_RECORD},
};

static const struct code group_codes[] = {
    {0, KAFKA_CODE_NONE},
    {MESH_EUNKNOWN_TOPIC, KAFKA_CODE_UNKNOWN_TOPIC_OR_PARTITION},
    {MESH_EOFFSET_OUT_OF_RANGE, 1},
    {MESH_ETOOLARGE, 10},
    {MESH_EMETADATA_TOO_LARGE, 12},
    {MESH_EBUSY, KAFKA_CODE_COORDINATOR_LOAD_IN_PROGRESS},
    {MESH_ENOMEM, KAFKA_CODE_COORDINATOR_LOAD_IN_PROGRESS},
    /* Nothing was done, or nobody knows, and what is done twice does no harm: an offset, a join. */
    {MESH_EAGAIN, KAFKA_CODE_COORDINATOR_NOT_AVAILABLE},
    {MESH_EUNREACHABLE, KAFKA_CODE_COORDINATOR_NOT_AVAILABLE},
    {MESH_ECLOSED, KAFKA_CODE_COORDINATOR_NOT_AVAILABLE},
    {MESH_ETIMEDOUT, KAFKA_CODE_COORDINATOR_NOT_AVAILABLE},
    {MESH_EUNCOMMITTED, KAFKA_CODE_COORDINATOR_NOT_AVAILABLE},
    {MESH_ENOT_ENOUGH_REPLICAS, KAFKA_CODE_COORDINATOR_NOT_AVAILABLE},
    {MESH_ENO_COORDINATOR, KAFKA_CODE_COORDINATOR_NOT_AVAILABLE},
    /* The leader's disk: it is mended, or another one leads soon. */
    {MESH_ESTORAGE, KAFKA_CODE_COORDINATOR_NOT_AVAILABLE},
    {MESH_EIO, KAFKA_CODE_COORDINATOR_NOT_AVAILABLE},
    {MESH_ECORRUPT, KAFKA_CODE_COORDINATOR_NOT_AVAILABLE},
    {MESH_EINVALID_TOPIC, KAFKA_CODE_INVALID_TOPIC},
    {MESH_ENOT_LEADER, KAFKA_CODE_NOT_COORDINATOR},
    {MESH_ESHUTDOWN, KAFKA_CODE_NOT_COORDINATOR},
    {MESH_ESTALE_EPOCH, KAFKA_CODE_NOT_COORDINATOR},
    {MESH_ESTALE_GENERATION, 22},
    {MESH_EUNSUPPORTED, KAFKA_CODE_INCONSISTENT_GROUP_PROTOCOL},
    {MESH_EINVALID_GROUP, KAFKA_CODE_INVALID_GROUP_ID},
    {MESH_EUNKNOWN_MEMBER, 25},
    {MESH_ENOT_OWNER, 25},
    {MESH_EINVALID_SESSION_TIMEOUT, 26},
    {MESH_EREBALANCING, 27},
    {MESH_EUNAUTHORIZED, 30},
    {MESH_EINVAL, KAFKA_CODE_INVALID_REQUEST},
    {MESH_EPROTO, KAFKA_CODE_INVALID_REQUEST},
    {MESH_EFULL, 44},
    {MESH_EGROUP_NOT_EMPTY, 68},
    {MESH_ENOTFOUND, 69},
    {MESH_EFENCED_INSTANCE, 82},
};

static int16_t look_up(const struct code *table, size_t count, int error)
{
    for (size_t i = 0; i < count; i++)
        if (table[i].error == error) return table[i].code;
    return KAFKA_CODE_UNKNOWN;
}

int16_t kafka_code_of(int error)
{
    return look_up(codes, sizeof(codes) / sizeof(codes[0]), error);
}

int16_t kafka_group_code_of(int error)
{
    return look_up(group_codes, sizeof(group_codes) / sizeof(group_codes[0]), error);
}

int16_t kafka_member_code_of(int error)
{
    int16_t code = kafka_group_code_of(error);

    if (error == MESH_ETOOLARGE) return KAFKA_CODE_UNKNOWN; /* as Kafka's coordinator says it: of the size of messages these requests do not tell */
    return code == KAFKA_CODE_COORDINATOR_LOAD_IN_PROGRESS || error == MESH_EFULL ? KAFKA_CODE_COORDINATOR_NOT_AVAILABLE : code;
}
