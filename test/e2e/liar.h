/* e2e/liar.h - which lie is told: the words in the file that $MESH_LIE names; while there is none it is honest. */
#ifndef E2E_LIAR_H
#define E2E_LIAR_H

#include <stdbool.h>

struct lie {
    char word[32];
    char topic[40], group[64], phantom[64]; /* of lies of committed offsets: a topic's uuid, a group that there is, and one that there is not */
    unsigned own; /* ... and the partition of the topic that it leads: what it says of that is its own affair */
};
bool liar_lies(struct lie *ret_lie);

#endif
