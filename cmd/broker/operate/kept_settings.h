/* operate/kept_settings.h - what `mesh config set` has changed on this broker: DIR/settings, a small text file, so that it holds after a restart.
 *
 *     mesh settings 1
 *     connections.max = 200
 *     log-level = debug
 *
 * Only settings that may change while a broker runs stand there. Lines that this version cannot use are passed over, and said: a broker must start. */
#ifndef BROKER_OPERATE_KEPT_SETTINGS_H
#define BROKER_OPERATE_KEPT_SETTINGS_H

#include "base/fs.h"
#include "base/slice.h"
#include "cmd/broker/settings.h"

#define KEPT_SETTINGS_PATH "settings"

struct kept_settings { /* zeros: none. By the table's index */
    bool is_kept[SETTINGS_MAX];
    uint64_t numbers[SETTINGS_MAX];
};

/* Each line that is passed over is told, cut to some length; `line` holds no control characters. */
typedef void kept_settings_bad_fn(void *user, const char *line, const char *reason);

/* Of a file's bytes. Errors: MESH_EVERSION (a later mesh wrote it), MESH_ECORRUPT (it is something else). */
int kept_settings_parse(struct slice text, struct kept_settings *ret_kept, kept_settings_bad_fn *bad, void *user);

/* No file is none. Errors: as above, MESH_ETOOLARGE, MESH_EIO, MESH_ENOMEM; then *ret_kept holds none. */
int kept_settings_read(struct fs *fs, struct kept_settings *ret_kept, kept_settings_bad_fn *bad, void *user);

/* Replaces the file atomically. Blocks on the disk. Errors: MESH_EIO, MESH_EFULL, MESH_ENOMEM; the file is then as before. */
int kept_settings_write(struct fs *fs, const struct kept_settings *kept);

#endif
