/* levels_story.h - brokers of two versions in one mesh, for test_node_levels.c and test_node_levels_switches.c. */
#ifndef LEVELS_STORY_H
#define LEVELS_STORY_H

#include "node_story.h"

#define LEVELS_HOSTS_MAX 8

extern uint32_t levels_of_hosts[LEVELS_HOSTS_MAX]; /* what each reads from its next start on */
uint32_t levels_pretended(uint16_t kind);          /* as metadata_kind_level(), but that deleting a topic is of level 2 */

/* Three hosts found a mesh, the others join it; there is a topic "t". seed 0: the usual one. */
void levels_begin(size_t hosts, uint64_t seed, void (*began)(struct node *node));
void levels_upgrade(size_t host); /* kills it, and starts it as the newer version */

#endif
