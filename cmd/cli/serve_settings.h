/* cli/serve_settings.h - gathers a broker's settings: file, then environment, then --set, then options; the
 * last holds. */
#ifndef CLI_SERVE_SETTINGS_H
#define CLI_SERVE_SETTINGS_H

#include "base/buffer.h"
#include "cmd/broker/settings.h"
#include "cmd/cli/arguments.h"

#include <stdbool.h>

struct serve_settings {
    char *data, *listen, *gateway_listen, *gateway_advertise, *name, *zone, *key_file, *advertise, *founded_marker; /* owned; NULL: not given */
    uint32_t shard_count, expect;     /* 0: not given */
    uint32_t log_format;              /* 0: not given; else one more than the enum's value */
    bool is_witness;
    enum setting_source source; /* of what is set next; zeros: a default */
    struct settings broker;
};

/* On failure `fault` is a sentence that names the place and the cause. `environment` is NULL-terminated, as
 * environ. Errors: MESH_EINVAL (an unknown key, a value out of range), MESH_EIO (the file cannot be read),
 * MESH_ENOMEM. */
int serve_settings_gather(struct serve_settings *settings, const struct arguments *arguments,
                          char *const *environment, struct buffer *fault);
void serve_settings_deinit(struct serve_settings *settings);

/* One key; also for tests. `where` begins the fault ("--set", "mesh.conf:3"). */
int serve_settings_set(struct serve_settings *settings, const char *key, const char *value, const char *where,
                       struct buffer *fault);

/* The text of a configuration file: lines KEY = VALUE; # begins a remark; blanks around key and value are
 * dropped. */
int serve_settings_parse_file(struct serve_settings *settings, const char *text, size_t size,
                              const char *path, struct buffer *fault);

/* Where data are kept when nobody says: $XDG_DATA_HOME/mesh, ~/.local/share/mesh, or /var/lib/mesh for root. The caller frees it. Errors: MESH_EINVAL (no home),
 * MESH_ENOMEM. */
int serve_settings_default_data(char **ret_path);

#endif
