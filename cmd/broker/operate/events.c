/* operate/events.c - the list of events.h. */
#include "cmd/broker/operate/events.h"

#include "base/clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_SIZE_MAX 2048

static const char *const kind_names[EVENT_KIND_COUNT] = {
    [EVENT_BROKER] = "broker", [EVENT_MEMBER] = "member", [EVENT_FENCE] = "fence",   [EVENT_ELECTION] = "election", [EVENT_REPLICA] = "replica",
    [EVENT_LOSS] = "loss",     [EVENT_DAMAGE] = "damage", [EVENT_REPAIR] = "repair", [EVENT_RESCUE] = "rescue",     [EVENT_DISK] = "disk",
    [EVENT_TOPIC] = "topic",   [EVENT_CONFIG] = "config", [EVENT_ACCESS] = "access",
};

const char *event_kind_name(uint32_t kind)
{
    return kind < EVENT_KIND_COUNT ? kind_names[kind] : "other";
}

void events_deinit(struct events *events)
{
    for (size_t i = 0; i < EVENT_SEVERITIES; i++) {
        struct event_ring *ring = &events->rings[i];

        for (size_t j = 0; j < EVENTS_MAX; j++) {
            free(ring->slots[j]);
            ring->slots[j] = NULL;
        }
        ring->count = 0;
    }
    events->last = 0;
}

static struct event_ring *ring_of(struct events *events, enum log_level level)
{
    return &events->rings[level >= LOG_LEVEL_ERROR ? 2 : level == LOG_LEVEL_WARN ? 1 : 0];
}

static void keep(struct events *events, enum event_kind kind, enum log_level level, const char *text)
{
    size_t size = strnlen(text, EVENT_TEXT_SIZE_MAX - 1);
    struct event *event = malloc(sizeof(*event) + size + 1), **slot, *oldest;
    struct event_ring *ring = ring_of(events, level);

    if (event == NULL) return;
    event->wall_ms = clock_wall_ms();
    event->kind = kind;
    event->level = level;
    memcpy(event->text, text, size);
    event->text[size] = '\0';
    pthread_mutex_lock(&events->lock);
    event->sequence = ++events->last;
    slot = &ring->slots[ring->count++ % EVENTS_MAX];
    oldest = *slot;
    *slot = event;
    pthread_mutex_unlock(&events->lock);
    free(oldest);
}

void event_note(struct events *events, enum event_kind kind, enum log_level level, const char *format, ...)
{
    char line[LINE_SIZE_MAX];
    va_list arguments;
    int size;

    va_start(arguments, format);
    size = vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    if (size < 0) return;
    /* A peer's text must not forge a second line where it is shown, either. */
    for (char *at = line; *at != '\0'; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7f) *at = '?';
    log_write(level, "%s", line);
    if (events != NULL) keep(events, kind, level, line);
}

/* The number of the oldest that is kept and above `after`; ring->count: none. Readers come for what is new: it is looked for from there. */
static uint64_t first_behind(const struct event_ring *ring, uint64_t after)
{
    uint64_t oldest = ring->count > EVENTS_MAX ? ring->count - EVENTS_MAX : 0, at = ring->count;

    while (at > oldest && ring->slots[(at - 1) % EVENTS_MAX]->sequence > after)
        at--;
    return at;
}

/* The one that comes first of those where the rings were read to, which goes on; NULL: all were read. */
static const struct event *next_event(const struct events *events, uint64_t at[EVENT_SEVERITIES])
{
    const struct event *next = NULL;
    size_t from = 0;

    for (size_t i = 0; i < EVENT_SEVERITIES; i++) {
        const struct event_ring *ring = &events->rings[i];
        const struct event *event = at[i] < ring->count ? ring->slots[at[i] % EVENTS_MAX] : NULL;

        if (event == NULL || (next != NULL && next->sequence < event->sequence)) continue;
        next = event;
        from = i;
    }
    if (next != NULL) at[from]++;
    return next;
}

uint64_t events_each(struct events *events, uint64_t after, events_each_fn *each, void *user)
{
    uint64_t last, at[EVENT_SEVERITIES];
    const struct event *event;

    pthread_mutex_lock(&events->lock);
    last = events->last;
    for (size_t i = 0; i < EVENT_SEVERITIES; i++)
        at[i] = first_behind(&events->rings[i], after);
    while ((event = next_event(events, at)) != NULL)
        if (!each(user, event)) break;
    pthread_mutex_unlock(&events->lock);
    return last;
}
