/* client/group_pulse.h - when a member's heartbeats are due. No I/O.
 *
 * Heartbeats say that the process lives, whatever its handler does: the library sends them from a thread of their own (group_keeper.h), a
 * simulation from wherever it likes. They change nothing and carry no sequence, so they may pass requests and one another. Owned by one thread. */
#ifndef CLIENT_GROUP_PULSE_H
#define CLIENT_GROUP_PULSE_H

#include "client/group_member.h"

#define CONSUMER_PULSE_ID_MAX     64   /* bytes of a member's id */
#define CONSUMER_PULSE_MS_MAX     2000 /* between heartbeats: they also tell that partitions are asked back, for which others wait */
#define CONSUMER_PULSE_HURRY_MS   250  /* between heartbeats while others are to release what is waited for */
#define CONSUMER_PULSE_RETRY_MS   200  /* after one that failed */

struct consumer_pulse {
    uint32_t session_timeout_ms;
    uint8_t id[CONSUMER_PULSE_ID_MAX];
    size_t id_size; /* 0: no member, no heartbeats */
    uint32_t interval_ms;
    bool is_waiting;
    bool is_under_way;
    uint64_t sent_ms, due_ms;
};

void consumer_pulse_init(struct consumer_pulse *pulse, uint32_t session_timeout_ms);

/* What the member says of itself has changed, or may have. */
void consumer_pulse_follow(struct consumer_pulse *pulse, uint64_t now_ms, const struct consumer_member_view *view);

/* Whether a heartbeat is to be sent now, for pulse->id; *ret_timeout_ms: how long to wait for its answer. */
bool consumer_pulse_next(struct consumer_pulse *pulse, uint64_t now_ms, uint32_t *ret_timeout_ms);

/* It was answered, or failed. The caller hands the answer, with pulse->sent_ms, to consumer_member_heard(). */
void consumer_pulse_answered(struct consumer_pulse *pulse, uint64_t now_ms, int error);

uint64_t consumer_pulse_deadline_ms(const struct consumer_pulse *pulse); /* CONSUMER_MEMBER_NEVER: none */

#endif
