/* node_story.h - how stories about metadata nodes begin and what they wait for. */
#ifndef NODE_STORY_H
#define NODE_STORY_H

#include "support/node_mesh.h"

#include <check.h>

#define SECOND 1000000u

extern struct node_mesh *mesh; /* of the story that is told */

void story_begin_with(const struct node_mesh_options *options);
void story_begin(size_t count);
void story_end(void);

/* The first `founders` hosts found a mesh; waits until everybody serves. */
void story_found(size_t founders);
void story_await_all(uint64_t at_most_us); /* until every host that is up serves and has a session */
const struct node_answer *story_await(int request);
const struct image_topic *story_topic(size_t host, const char *name);
struct node_status story_status(size_t host);

#endif
