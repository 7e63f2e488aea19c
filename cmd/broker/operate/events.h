/* operate/events.h - what has happened on this broker that a person may want to know later: bounded lists in memory, one for each severity; in each the oldest gives way. A flood of notes
 * so pushes no loss out.
 *
 * Whoever decides that something is worth telling calls event_note() instead of log_info() and others: it writes the same line to the log. Nothing is
 * allocated before the first event; each costs its text and 40 bytes. A life's events end with the process: the log has them for longer. */
#ifndef BROKER_OPERATE_EVENTS_H
#define BROKER_OPERATE_EVENTS_H

#include "base/log.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EVENTS_MAX          1024 /* kept of each severity */
#define EVENT_SEVERITIES    3    /* notes, warnings, errors */
#define EVENT_TEXT_SIZE_MAX 512  /* bytes of a text, NUL included; longer ones are cut here, not in the log */

/* Numbers are told to other brokers and to clients: never renumber. */
enum event_kind {
    EVENT_BROKER = 0,    /* this one: started, stops */
    EVENT_MEMBER = 1,    /* joined, suspected, dead, left, back */
    EVENT_FENCE = 2,     /* a broker lost, or has again, its session with the coordinator; or is drained */
    EVENT_ELECTION = 3,  /* of partitions' leaders, of the coordinator */
    EVENT_REPLICA = 4,   /* out of sync, in sync again, moves */
    EVENT_LOSS = 5,      /* acknowledged records may be gone */
    EVENT_DAMAGE = 6,    /* records on a disk are not what was written */
    EVENT_REPAIR = 7,    /* ... and are whole again */
    EVENT_RESCUE = 8,    /* offsets of groups out of what others had heard */
    EVENT_DISK = 9,      /* full, failed */
    EVENT_TOPIC = 10,    /* created, deleted, changed */
    EVENT_CONFIG = 11,   /* of brokers */
    EVENT_ACCESS = 12,   /* keys, users, certificates */
    EVENT_KIND_COUNT,
};

struct event {
    uint64_t sequence; /* 1, 2, ... in this life of the broker, of all severities */
    int64_t wall_ms;
    enum event_kind kind;
    enum log_level level;
    char text[]; /* as the log has it: a sentence start and key=value pairs */
};

struct events { /* zeros: empty. Any thread */
    pthread_mutex_t lock;
    struct event_ring {
        struct event *slots[EVENTS_MAX]; /* number n since the start: slots[n % EVENTS_MAX] */
        uint64_t count;                  /* since the start */
    } rings[EVENT_SEVERITIES];
    uint64_t last; /* the newest sequence of all; 0: none */
};

void events_deinit(struct events *events);

/* Also writes the log's line. events NULL: only that. Without memory the event is in the log alone. Any thread. */
void event_note(struct events *events, enum event_kind kind, enum log_level level, const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Calls each() with every event kept whose sequence is above `after`, oldest first, under the lock, until it returns false. Returns the newest
 * sequence of all. */
typedef bool events_each_fn(void *user, const struct event *event);
uint64_t events_each(struct events *events, uint64_t after, events_each_fn *each, void *user);

const char *event_kind_name(uint32_t kind); /* one word; of an unknown one: "other" */

#endif
