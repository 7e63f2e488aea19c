/* broker/front/kafka/config_names.h - which settings a request names, found at once among all that there are: a request may name very many. Pure. */
#ifndef BROKER_FRONT_KAFKA_CONFIG_NAMES_H
#define BROKER_FRONT_KAFKA_CONFIG_NAMES_H

#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

struct config_name {
    const char *text;
    uint32_t number; /* whose it is; one may have several */
};

/* Sorts them. */
void config_names_sort(struct config_name *names, size_t count);

/* Sets is_wanted[number] of those that a key names, exactly. names: sorted. */
void config_names_mark(const struct config_name *names, size_t count, const struct slice *keys, size_t key_count, bool *is_wanted);

#endif
