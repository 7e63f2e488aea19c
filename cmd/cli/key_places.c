/* cli/key_places.c - see key_places.h. */
#include "cmd/cli/key_places.h"

#include <stdlib.h>

void key_places_gather(struct key_places *places, const char *option, const char *data_dir)
{
    *places = (struct key_places){
        .option = option,
        .environment = getenv("MESH_KEY_FILE"),
        .data_dir = data_dir,
        .xdg_config_home = getenv("XDG_CONFIG_HOME"),
        .home = getenv("HOME"),
    };
}
