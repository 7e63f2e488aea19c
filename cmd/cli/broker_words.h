/* cli/broker_words.h - what a broker is and does, in the words that `status` and `top` use. Static texts. */
#ifndef CLI_BROKER_WORDS_H
#define CLI_BROKER_WORDS_H

#include <mesh/mesh.h>

/* The uuid of the coordinator, or NULL. */
const char *broker_words_coordinator(const struct mesh_status_info *status);

/* What it is in the coordination of the mesh: coordinator, voter, learner, witness, observer. */
const char *broker_words_role(const struct mesh_status_info *status, const struct mesh_broker_info *broker);

/* serving, draining, fenced, disk failed */
const char *broker_words_state(const struct mesh_broker_info *broker);

#endif
