/* cli/key_places.h - where this user's cluster key may be: options and the environment put together. */
#ifndef CLI_KEY_PLACES_H
#define CLI_KEY_PLACES_H

#include "crypto/key_file.h"

/* option: --key-file, or MESH_KEY_FILE where settings have merged the two; NULL: not given. data_dir may be NULL. All strings
 * are borrowed. */
void key_places_gather(struct key_places *places, const char *option, const char *data_dir);

#endif
