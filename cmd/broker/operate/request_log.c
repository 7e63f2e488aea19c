#include "cmd/broker/operate/request_log.h"

#include "base/error.h"
#include "base/log.h"
#include "wire/frame.h"

#include <inttypes.h>
#include <stdio.h>

static bool is_told(int error)
{
    switch (error) {
    case MESH_ETIMEDOUT:
    case MESH_EUNREACHABLE:
    case MESH_EBUSY:
    case MESH_EFULL:
    case MESH_EIO:
    case MESH_ESTORAGE:
    case MESH_ECORRUPT:
    case MESH_EPROTO:
    case MESH_ENOMEM:
    case MESH_EUNCOMMITTED: return true;
    default: return false;
    }
}

bool request_log_wants(const struct settings *settings, uint64_t took_ms, uint64_t patience_ms, int error)
{
    uint64_t slow_ms = settings->requests_slow_ms;

    if (slow_ms == 0) return false;
    return is_told(error) || (took_ms >= patience_ms && took_ms - patience_ms >= slow_ms);
}

bool request_log_may(struct request_log *log, uint64_t now_ms)
{
    if (log->second != now_ms / 1000) {
        if (log->passed_over > 0) log_warn("more requests were slow or failed than were logged count=%" PRIu32, log->passed_over);
        *log = (struct request_log){.second = now_ms / 1000};
    }
    if (log->count < REQUEST_LOG_LINES) {
        log->count++;
        return true;
    }
    log->passed_over++;
    return false;
}

const char *request_log_id(const struct uuid *entry, uint32_t number, char text[REQUEST_LOG_ID_SIZE])
{
    snprintf(text, REQUEST_LOG_ID_SIZE, "%02x%02x%02x%02x-%08" PRIx32, entry->bytes[0], entry->bytes[1], entry->bytes[2], entry->bytes[3], number);
    return text;
}

const char *request_log_op(uint32_t op)
{
    switch (op) {
    case FRAME_OP_PRODUCE: return "produce";
    case FRAME_OP_FETCH: return "fetch";
    case FRAME_OP_LIST_OFFSETS: return "list_offsets";
    case FRAME_OP_TOPIC_DESCRIBE: return "topic_describe";
    case FRAME_OP_HEAL: return "heal";
    case FRAME_OP_EVENTS: return "events";
    case FRAME_OP_DRAIN: return "drain";
    case FRAME_OP_CONFIG: return "config";
    case FRAME_OP_TOPIC_TRIM: return "topic_trim";
    default: return op >= FRAME_OP_GROUP_JOIN && op <= FRAME_OP_GROUP_CLASSIC_LOOK ? "group" : "other";
    }
}
