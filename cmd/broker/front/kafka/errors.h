/* broker/front/kafka/errors.h - our errors as Kafka's codes. Pure. */
#ifndef BROKER_FRONT_KAFKA_ERRORS_H
#define BROKER_FRONT_KAFKA_ERRORS_H

#include <stdint.h>

/* Those that handlers name themselves; the rest is in the table. */
enum kafka_code {
    KAFKA_CODE_UNKNOWN = -1,
    KAFKA_CODE_NONE = 0,
    KAFKA_CODE_UNKNOWN_TOPIC_OR_PARTITION = 3,
    KAFKA_CODE_LEADER_NOT_AVAILABLE = 5,
    KAFKA_CODE_NOT_LEADER = 6,
    KAFKA_CODE_COORDINATOR_LOAD_IN_PROGRESS = 14,
    KAFKA_CODE_COORDINATOR_NOT_AVAILABLE = 15,
    KAFKA_CODE_NOT_COORDINATOR = 16,
    KAFKA_CODE_INVALID_TOPIC = 17,
    KAFKA_CODE_INVALID_REQUIRED_ACKS = 21,
    KAFKA_CODE_INCONSISTENT_GROUP_PROTOCOL = 23,
    KAFKA_CODE_INVALID_GROUP_ID = 24,
    KAFKA_CODE_UNKNOWN_MEMBER_ID = 25,
    KAFKA_CODE_UNSUPPORTED_SASL_MECHANISM = 33,
    KAFKA_CODE_ILLEGAL_SASL_STATE = 34,
    KAFKA_CODE_UNSUPPORTED_VERSION = 35,
    KAFKA_CODE_INVALID_REPLICATION_FACTOR = 38,
    KAFKA_CODE_INVALID_REPLICA_ASSIGNMENT = 39,
    KAFKA_CODE_NOT_CONTROLLER = 41,
    KAFKA_CODE_INVALID_REQUEST = 42,
    KAFKA_CODE_SASL_AUTHENTICATION_FAILED = 58,
    KAFKA_CODE_REASSIGNMENT_IN_PROGRESS = 60,
    KAFKA_CODE_FETCH_SESSION_ID_NOT_FOUND = 70,
    KAFKA_CODE_MEMBER_ID_REQUIRED = 79,
    KAFKA_CODE_PREFERRED_LEADER_NOT_AVAILABLE = 80,
    KAFKA_CODE_GROUP_MAX_SIZE_REACHED = 81,
    KAFKA_CODE_ELIGIBLE_LEADERS_NOT_AVAILABLE = 83,
    KAFKA_CODE_ELECTION_NOT_NEEDED = 84,
    KAFKA_CODE_NO_REASSIGNMENT_IN_PROGRESS = 85,
    KAFKA_CODE_GROUP_SUBSCRIBED_TO_TOPIC = 86,
    KAFKA_CODE_INVALID_RECORD = 87,
    KAFKA_CODE_RESOURCE_NOT_FOUND = 91,
    KAFKA_CODE_DUPLICATE_RESOURCE = 92,
    KAFKA_CODE_UNACCEPTABLE_CREDENTIAL = 93,
    KAFKA_CODE_UNKNOWN_TOPIC_ID = 100,
    KAFKA_CODE_REBOOTSTRAP_REQUIRED = 129,
};

/* error: 0 or MESH_E... What may be tried again gets a code that clients try again; what may have been done, one that says so. */
int16_t kafka_code_of(int error);

/* The same of requests about groups: their clients look for the group's coordinator again where others ask for metadata. */
int16_t kafka_group_code_of(int error);

/* The same of requests that a member of a group sends while it is one (sync, heartbeat, leave): of those the Java client dies of what it may try again
 * elsewhere, so that all of it is said in the one way that it understands. */
int16_t kafka_member_code_of(int error);

#endif
