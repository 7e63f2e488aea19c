/* wire/convert_config.h - conversions of configuration pairs, which requests and responses share. Internal to
 * lib/wire; memory and errors as in convert.h. */
#ifndef WIRE_CONVERT_CONFIG_H
#define WIRE_CONVERT_CONFIG_H

#include "wire/convert.h"

struct message_config *convert_configs_from_wire(struct conversion *conversion,
                                                 Mesh__Wire__Config *const *from, size_t count,
                                                 size_t *ret_count);
Mesh__Wire__Config **convert_configs_to_wire(struct conversion *conversion, const struct message_config *from,
                                             size_t count, size_t *ret_count);
void convert_configs_free(struct message_config *configs, size_t count);

#endif
