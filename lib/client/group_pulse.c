#include "client/group_pulse.h"

#include <string.h>

#define PULSE_PATIENCE_MS_MIN 500

void consumer_pulse_init(struct consumer_pulse *pulse, uint32_t session_timeout_ms)
{
    *pulse = (struct consumer_pulse){.session_timeout_ms = session_timeout_ms, .interval_ms = session_timeout_ms / 3};
}

static uint32_t interval_of(const struct consumer_pulse *pulse)
{
    return pulse->is_waiting && pulse->interval_ms > CONSUMER_PULSE_HURRY_MS ? CONSUMER_PULSE_HURRY_MS : pulse->interval_ms;
}

void consumer_pulse_follow(struct consumer_pulse *pulse, uint64_t now_ms, const struct consumer_member_view *view)
{
    size_t size = view->is_joined && view->id.size <= sizeof(pulse->id) ? view->id.size : 0;
    uint64_t due_ms;

    pulse->is_waiting = view->is_waiting;
    if (view->heartbeat_ms > 0) pulse->interval_ms = view->heartbeat_ms;
    if (pulse->interval_ms > pulse->session_timeout_ms / 3) pulse->interval_ms = pulse->session_timeout_ms / 3;
    if (pulse->interval_ms > CONSUMER_PULSE_MS_MAX) pulse->interval_ms = CONSUMER_PULSE_MS_MAX;
    if (size != pulse->id_size || memcmp(pulse->id, view->id.data, size) != 0) {
        if (size > 0) memcpy(pulse->id, view->id.data, size);
        pulse->id_size = size;
        pulse->due_ms = now_ms + pulse->interval_ms; /* it was heard by joining */
    }
    due_ms = now_ms + interval_of(pulse);
    if (due_ms < pulse->due_ms) pulse->due_ms = due_ms;
}

bool consumer_pulse_next(struct consumer_pulse *pulse, uint64_t now_ms, uint32_t *ret_timeout_ms)
{
    uint32_t patience_ms = pulse->session_timeout_ms / 6;

    if (pulse->id_size == 0 || pulse->is_under_way || now_ms < pulse->due_ms) return false;
    pulse->is_under_way = true;
    pulse->sent_ms = now_ms;
    *ret_timeout_ms = patience_ms > PULSE_PATIENCE_MS_MIN ? patience_ms : PULSE_PATIENCE_MS_MIN;
    return true;
}

void consumer_pulse_answered(struct consumer_pulse *pulse, uint64_t now_ms, int error)
{
    pulse->is_under_way = false;
    if (error != 0) {
        pulse->due_ms = now_ms + CONSUMER_PULSE_RETRY_MS;
        return;
    }
    /* Counted from its sending: a slow answer delays no other. */
    pulse->due_ms = pulse->sent_ms + interval_of(pulse);
    if (pulse->due_ms < now_ms) pulse->due_ms = now_ms;
}

uint64_t consumer_pulse_deadline_ms(const struct consumer_pulse *pulse)
{
    return pulse->id_size == 0 || pulse->is_under_way ? CONSUMER_MEMBER_NEVER : pulse->due_ms;
}
