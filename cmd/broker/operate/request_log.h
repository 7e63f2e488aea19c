/* operate/request_log.h - lines about requests that were slow, or that failed for a reason which somebody looks for later: a broker that does not answer, a disk.
 *
 * A request that is sent on to another broker has an id, which stands in both brokers' lines: the first digits of the entry broker's uuid, and the correlation id that
 * it gave the frame (forward/call.h). So the id costs nothing that is not there anyway; a request that is well costs a comparison. What clients do wrong, and what
 * they simply try again elsewhere, is no line here. */
#ifndef BROKER_OPERATE_REQUEST_LOG_H
#define BROKER_OPERATE_REQUEST_LOG_H

#include "base/uuid.h"
#include "cmd/broker/settings.h"

#define REQUEST_LOG_LINES    4  /* a second */
#define REQUEST_LOG_ID_SIZE  20
#define REQUEST_LOG_PATIENCE UINT64_MAX /* it may wait as long as it likes */

struct request_log { /* zeros: no line yet. Of one thread */
    uint64_t second;
    uint32_t count, passed_over;
};

/* Whether one that took so long, of which it was to wait patience_ms of its own accord, and ended so, is worth a line; requests.slow.ms says what is slow. */
bool request_log_wants(const struct settings *settings, uint64_t took_ms, uint64_t patience_ms, int error);

/* Whether there is room for a line now; says how many had none before. */
bool request_log_may(struct request_log *log, uint64_t now_ms);

/* "5f1c22ab-0000002a"; `text` is returned. */
const char *request_log_id(const struct uuid *entry, uint32_t number, char text[REQUEST_LOG_ID_SIZE]);

/* One word for an operation (wire/frame.h). */
const char *request_log_op(uint32_t op);

#endif
