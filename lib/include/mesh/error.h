/* mesh/error.h - the error codes of libmesh and of the native protocol.
 *
 * Functions that can fail return int: 0, or one of these negative codes. The numbers are part of the native
 * wire protocol and of the command line's --json output: they never change meaning and are never reused.
 * A code exists where a caller would act differently; what exactly happened is said in the message beside it. */
#ifndef MESH_ERROR_H
#define MESH_ERROR_H

#include <mesh/export.h>

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, number, retriable, text) */
#define MESH_ERROR_MAP(X)                                                                                     \
    X(ENOMEM, 1, 1, "out of memory")                                                                          \
    X(EINVAL, 2, 0, "invalid argument")                                                                       \
    X(EIO, 3, 0, "input/output error")                                                                        \
    X(ECORRUPT, 4, 0, "data are corrupt")                                                                     \
    X(EFULL, 5, 1, "no space left: the disk or a limit is full")                                              \
    X(ETIMEDOUT, 6, 1, "timed out")                                                                           \
    X(EAGAIN, 7, 1, "would block, try again")                                                                 \
    X(ECLOSED, 8, 1, "connection closed")                                                                     \
    X(EPROTO, 9, 0, "protocol violation")                                                                     \
    X(EVERSION, 10, 0, "unsupported version")                                                                 \
    X(ETOOLARGE, 11, 0, "record, batch or request too large")                                                 \
    X(EUNKNOWN_TOPIC, 12, 1, "unknown topic or partition")                                                    \
    X(ETOPIC_EXISTS, 13, 0, "topic already exists")                                                           \
    X(EINVALID_TOPIC, 14, 0, "illegal topic name")                                                            \
    X(EINVALID_PARTITIONS, 15, 0, "illegal number of partitions")                                             \
    X(EINVALID_REPLICATION, 16, 0, "illegal replication factor")                                              \
    X(EINVALID_CONFIG, 17, 0, "unknown configuration key or illegal value")                                   \
    X(EOFFSET_OUT_OF_RANGE, 18, 0, "offset out of range")                                                     \
    X(ENOT_LEADER, 19, 1, "this broker does not lead the partition")                                          \
    X(ESTALE_EPOCH, 20, 1, "leader epoch is older than the broker's")                                         \
    X(EUNKNOWN_EPOCH, 21, 1, "leader epoch is newer than the broker's")                                       \
    X(EOUT_OF_ORDER_SEQUENCE, 22, 0, "out of order sequence number")                                          \
    X(EDUPLICATE_SEQUENCE, 23, 0, "duplicate sequence number")                                                \
    X(EPRODUCER_FENCED, 24, 0, "a newer producer with the same id has taken over")                            \
    X(ESTORAGE, 25, 1, "the partition's storage has failed: it accepts no writes")                            \
    X(EINVALID_RECORD, 26, 0, "the record batch is not acceptable")                                           \
    X(EINVALID_TIMESTAMP, 27, 0, "timestamp out of the accepted range")                                       \
    X(EUNSUPPORTED_COMPRESSION, 28, 0, "unsupported compression type")                                        \
    X(ENOT_ENOUGH_REPLICAS, 29, 1, "fewer in-sync replicas than min.insync")                                  \
    X(EBUSY, 30, 1, "the broker is at a limit, try again")                                                    \
    X(ESHUTDOWN, 31, 1, "the broker is stopping")                                                             \
    X(EUNREACHABLE, 32, 1, "no broker could be reached")                                                      \
    X(EQUEUEFULL, 33, 1, "the producer's memory limit is reached")                                            \
    X(EUNSUPPORTED, 34, 0, "operation not supported")                                                         \
    X(ECANCELED, 35, 0, "canceled")                                                                           \
    X(ENOTFOUND, 36, 0, "not found")                                                                          \
    X(EEXISTS, 37, 0, "already exists")                                                                       \
    X(ELOCKED, 38, 0, "the data directory is in use by another broker")                                       \
    X(ERESOLVE, 39, 1, "host name cannot be resolved")                                                        \
    X(EUNAUTHORIZED, 40, 0, "not authorized")                                                                 \
    X(EUNKNOWN, 41, 0, "unknown error")                                                                       \
    X(EWRONG_MESH, 42, 0, "the address belongs to another mesh")                                              \
    X(EUNKNOWN_PRODUCER, 43, 0, "producer id not known here")                                                 \
    X(ENO_COORDINATOR, 44, 1, "the mesh has no coordinator now: reads work, changes do not")                  \
    X(EUNCOMMITTED, 45, 1, "the record was taken, and then too few replicas followed: it may be kept or not") \
    X(EUNKNOWN_MEMBER, 46, 0, "the group does not know this member: join again")                              \
    X(ESTALE_GENERATION, 47, 0, "the generation is over, or the partition was claimed in another one")         \
    X(ENOT_OWNER, 48, 0, "another member claims the partition, or none does")                                 \
    X(EFENCED_INSTANCE, 49, 0, "another member has taken over this instance id")                              \
    X(EINVALID_GROUP, 50, 0, "illegal group name")                                                            \
    X(EINVALID_SESSION_TIMEOUT, 51, 0, "session timeout out of the accepted range")                           \
    X(EMETADATA_TOO_LARGE, 52, 0, "the text beside a committed offset is too long")                           \
    X(EGROUP_NOT_EMPTY, 53, 0, "the group has members or claims")                                             \
    X(EINVALID_PATTERN, 54, 0, "the pattern of topics is not acceptable")                                     \
    X(EREBALANCING, 55, 0, "the group is about to have another generation: join again")

enum mesh_error {
    MESH_OK = 0,
#define MESH_ERROR_ENUM(name, number, retriable, text) MESH_##name = -(number),
    MESH_ERROR_MAP(MESH_ERROR_ENUM)
#undef MESH_ERROR_ENUM
};

/* The sentence for a code, never NULL. Static storage; any thread. */
MESH_EXPORT const char *mesh_strerror(int error);

/* The code's name without prefix ("UNKNOWN_TOPIC"), never NULL. Static storage; any thread. */
MESH_EXPORT const char *mesh_error_name(int error);

/* 1 when the same request may succeed later without a change, else 0. Any thread. */
MESH_EXPORT int mesh_error_is_retriable(int error);

#ifdef __cplusplus
}
#endif
#endif
