/* front/http/views_internal.h - what the views share over jansson. */
#ifndef FRONT_HTTP_VIEWS_INTERNAL_H
#define FRONT_HTTP_VIEWS_INTERNAL_H

#include "base/buffer.h"
#include "base/uuid.h"

#include <jansson.h>

/* Prints and drops root (taken; NULL when packing failed for want of memory). Errors: MESH_ENOMEM. */
int views_print(json_t *root, struct buffer *to);

/* Appends value (taken) to array; on failure drops the array and returns NULL. Accepts NULL for both. */
json_t *views_append(json_t *array, json_t *value);

json_t *views_uuid(const struct uuid *uuid);

#endif
