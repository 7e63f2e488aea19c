/* broker/topic_defaults.h - the settings "topic.KEY=VALUE": what new topics get unless their creator says otherwise. Pure. */
#ifndef BROKER_TOPIC_DEFAULTS_H
#define BROKER_TOPIC_DEFAULTS_H

#include "cmd/broker/settings.h"
#include "replication/coordinator/topic_config.h"
#include "wire/message.h"

#include <stdbool.h>

/* Errors: MESH_EINVAL with a sentence in `message`. */
int topic_defaults_check(const struct settings *settings, char *message, size_t message_size);

/* Writes the request's configurations and the defaults that it does not override (under whichever of their names) to
 * `configs`, borrowing all texts. false: the request has more than there are keys; it is then judged as it is. */
bool topic_defaults_fill(const struct settings *settings, const struct message_topic_create *request,
                         struct message_config configs[SETTINGS_TOPIC_DEFAULTS_MAX + TOPIC_CONFIG_COUNT],
                         size_t *ret_count);

#endif
