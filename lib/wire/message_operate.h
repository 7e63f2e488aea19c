/* wire/message_operate.h - what people ask of one broker (FRAME_OP_EVENTS, FRAME_OP_DRAIN, FRAME_OP_CONFIG): requests that any broker sends on to the one that they name.
 *
 * By tables, as message_group.h: strings borrow from the bytes that were decoded, lists belong to the struct. An answer's first two fields are those of an
 * ErrorResponse. Errors: as message.h says. Pure functions; any thread. */
#ifndef WIRE_MESSAGE_OPERATE_H
#define WIRE_MESSAGE_OPERATE_H

#include "base/buffer.h"
#include "base/slice.h"
#include "base/uuid.h"

#include <stdbool.h>

#define MESSAGE_OPERATE_LISTS_BYTES_MAX (1u << 20) /* memory of all the lists of a decoded message */

/* What every request begins with. */
struct message_events_request {
    struct uuid broker; /* zero: the one that is asked */
    uint64_t after;     /* a sequence */
    uint64_t age_ms;    /* not older; 0: any */
    uint32_t limit;     /* events; 0: as many as fit */
};

struct message_event {
    uint64_t sequence, wall_ms;
    uint32_t level; /* enum log_level */
    struct slice kind, text;
};

struct message_events_response {
    int error;
    struct slice message;
    struct uuid broker;
    struct slice name;
    uint64_t boot;
    uint64_t last;
    bool has_more;
    uint64_t now_ms; /* its wall clock */
    struct message_event *events;
    size_t event_count;
};

enum message_drain_action { MESSAGE_DRAIN_LOOK, MESSAGE_DRAIN_BEGIN, MESSAGE_DRAIN_UNDO, MESSAGE_DRAIN_EMPTY };

struct message_drain_request {
    struct uuid broker;
    uint32_t action; /* enum message_drain_action */
};

struct message_drain_response {
    int error;
    struct slice message;
    struct uuid broker;
    struct slice name;
    bool is_wanted, is_drained; /* asked for; agreed to by the mesh */
    uint64_t led;               /* partitions that it still leads, as it knows */
    uint32_t others;            /* brokers that could take over */
    bool is_emptying;           /* its replicas are to become others' */
    uint64_t hosted;            /* replicas that it still has */
};

enum message_config_action { MESSAGE_CONFIG_LOOK, MESSAGE_CONFIG_SET, MESSAGE_CONFIG_UNSET };

struct message_config_change {
    struct slice key, value;
};

struct message_config_request {
    struct uuid broker;
    uint32_t action; /* enum message_config_action */
    struct message_config_change *changes;
    size_t change_count;
};

enum message_config_scope { MESSAGE_CONFIG_OF_BROKER, MESSAGE_CONFIG_ALIKE, MESSAGE_CONFIG_OF_NEW_TOPICS };

struct message_config_entry {
    struct slice key, value, unit, values, fallback, help; /* values: which it may have, for people */
    uint32_t source, scope; /* enum setting_source, enum message_config_scope */
    bool is_live;           /* it may change while the broker runs */
    struct slice kept;      /* what DIR/settings says; "": nothing */
    struct slice at_start;  /* what the next start would use, where that is something else than `value` */
};

struct message_config_response {
    int error;
    struct slice message;
    struct uuid broker;
    struct slice name;
    struct slice path; /* of what is kept */
    struct message_config_entry *entries;
    size_t entry_count;
};

/* X(suffix, struct): functions as of MESSAGE_MAP. */
#define MESSAGE_OPERATE_MAP(X)                                                                                \
    X(events_request, message_events_request)                                                                 \
    X(events_response, message_events_response)                                                               \
    X(drain_request, message_drain_request)                                                                   \
    X(drain_response, message_drain_response)                                                                 \
    X(config_request, message_config_request)                                                                 \
    X(config_response, message_config_response)

#define MESSAGE_OPERATE_DECLARE(suffix, type)                                                                 \
    int message_encode_##suffix(struct buffer *to, const struct type *message);                               \
    int message_decode_##suffix(struct slice from, struct type *ret_message);                                 \
    void message_deinit_##suffix(struct type *message);
MESSAGE_OPERATE_MAP(MESSAGE_OPERATE_DECLARE)
#undef MESSAGE_OPERATE_DECLARE

/* Whether an operation is one of these; and the broker that any of their requests names. Errors: MESH_EPROTO. */
bool message_operate_knows(uint32_t op);
int message_operate_peek(struct slice request, struct uuid *ret_broker);

#endif
