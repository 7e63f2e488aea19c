/* broker/front/kafka/errors.c - see errors.h. Codes: KAFKA-WIRE section 2.5. */
#include "cmd/broker/front/kafka/errors.h"

#include "base/error.h"

#include <stddef.h>

static const struct {
    int error;
    int16_t code;
} codes[] = {
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

int16_t kafka_code_of(int error)
{
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
        if (codes[i].error == error) return codes[i].code;
    return KAFKA_CODE_UNKNOWN;
}
