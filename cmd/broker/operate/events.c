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
    for (size_t i = 0; i < EVENTS_MAX; i++) {
        free(events->slots[i]);
        events->slots[i] = NULL;
    }
    events->last = 0;
}

static void keep(struct events *events, enum event_kind kind, enum log_level level, const char *text)
{
    size_t size = strnlen(text, EVENT_TEXT_SIZE_MAX - 1);
    struct event *event = malloc(sizeof(*event) + size + 1), *oldest;

    if (event == NULL) return;
    event->wall_ms = clock_wall_ms();
    event->kind = kind;
    event->level = level;
    memcpy(event->text, text, size);
    event->text[size] = '\0';
    pthread_mutex_lock(&events->lock);
    event->sequence = ++events->last;
    oldest = events->slots[event->sequence % EVENTS_MAX];
    events->slots[event->sequence % EVENTS_MAX] = event;
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

uint64_t events_each(struct events *events, uint64_t after, events_each_fn *each, void *user)
{
    uint64_t last, sequence;

    pthread_mutex_lock(&events->lock);
    last = events->last;
    sequence = last > EVENTS_MAX ? last - EVENTS_MAX + 1 : 1;
    if (after >= sequence) sequence = after < last ? after + 1 : last + 1;
    for (; sequence <= last; sequence++)
        if (!each(user, events->slots[sequence % EVENTS_MAX])) break;
    pthread_mutex_unlock(&events->lock);
    return last;
}
