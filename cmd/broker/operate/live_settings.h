/* operate/live_settings.h - settings that change while the broker runs, and hold after a restart.
 *
 * What an option, a variable or the file of --config says comes before what is kept, at each start; a change holds until then all the same. The control loop
 * writes the broker's settings; shards read them as they need them, or are told to take them (shard_tell_settings()). */
#ifndef BROKER_OPERATE_LIVE_SETTINGS_H
#define BROKER_OPERATE_LIVE_SETTINGS_H

#include "base/slice.h"
#include "cmd/broker/operate/kept_settings.h"

#define LIVE_SETTINGS_TEXT_SIZE 256
#define LIVE_SETTINGS_MAX       32 /* of one change */

struct broker;

struct live_settings {
    struct settings at_start; /* without what is kept */
    struct kept_settings kept;
};

/* At a start, once the data directory is this process's, before anything uses a setting that may change. Errors: MESH_ENOMEM. */
int live_settings_open(struct broker *broker);

struct live_setting_change {
    struct slice key, value;
    bool is_unset; /* back to what it is without being kept; `value` is not looked at */
};

/* All of them or none; control loop. On an error `text` says what was wrong, and what to do. Errors: MESH_EINVAL (there is no such setting, or it is read at a start alone,
 * or the value cannot be), MESH_EIO and others of the disk: nothing was changed. */
int live_settings_change(struct broker *broker, const struct live_setting_change *changes, size_t count, char text[LIVE_SETTINGS_TEXT_SIZE]);

#endif
