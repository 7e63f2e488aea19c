/* cli/recent_events.h - since when: the newest warnings and errors that the answering broker has noted, beneath what is wrong. */
#ifndef CLI_RECENT_EVENTS_H
#define CLI_RECENT_EVENTS_H

#include "base/buffer.h"
#include "cmd/cli/json_writer.h"

#include <mesh/mesh.h>

#define RECENT_EVENTS_MAX 5

struct recent_events {
    struct mesh_events *events; /* owned; NULL: nobody said */
    const struct mesh_event_info *chosen[RECENT_EVENTS_MAX]; /* oldest first */
    size_t count;
    uint64_t now_ms; /* by that broker's clock */
};

/* Asks. A broker that does not say, of an older version perhaps, is no failure: then there are none. */
void recent_events_get(struct mesh_client *client, struct recent_events *ret_recent);
void recent_events_deinit(struct recent_events *recent);

/* Lines "    12 min ago  TEXT", under a heading; nothing when there are none. Errors: MESH_ENOMEM. */
int recent_events_people(const struct recent_events *recent, struct buffer *to);

/* The member "events": a list of {time_ms, level, kind, text}. */
void recent_events_json(const struct recent_events *recent, struct json_writer *json);

#endif
