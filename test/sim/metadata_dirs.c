#include "sim/metadata_dirs.h"

#include "base/assert.h"
#include "base/buffer.h"
#include "base/fs_whole.h"
#include "sim/sim_sometimes.h"

#include <stdio.h>

#define DIRECTORY "topics"
#define PATH_SIZE 64

static void path_of(const struct uuid *topic_id, char path[PATH_SIZE])
{
    char id[UUID_STRING_SIZE];

    snprintf(path, PATH_SIZE, DIRECTORY "/%s", uuid_format(topic_id, id));
}

static void add(struct metadata_dirs *dirs, const struct uuid *topic_id, const char *name)
{
    MESH_ASSERT(dirs->count < METADATA_DIRS_MAX);
    dirs->dirs[dirs->count].topic_id = *topic_id;
    snprintf(dirs->dirs[dirs->count++].name, METADATA_DIR_NAME_SIZE, "%s", name);
}

static int found(void *user, const char *name, bool is_dir)
{
    struct metadata_dirs *dirs = user;
    struct uuid topic_id;

    if (!is_dir && uuid_parse(name, &topic_id) == 0) add(dirs, &topic_id, "");
    return 0;
}

static int read_name(struct metadata_dirs *dirs, struct metadata_dir *dir)
{
    struct buffer bytes = BUFFER_INIT;
    char path[PATH_SIZE];
    int err;

    path_of(&dir->topic_id, path);
    err = fs_read_whole(dirs->fs, path, METADATA_DIR_NAME_SIZE - 1, &bytes);
    if (err == 0) snprintf(dir->name, sizeof(dir->name), "%.*s", (int)bytes.size, (const char *)bytes.data);
    buffer_deinit(&bytes);
    return err;
}

int metadata_dirs_open(struct metadata_dirs *dirs, struct fs *fs)
{
    int err = fs->ops->mkdir(fs, DIRECTORY);

    dirs->fs = fs;
    dirs->count = 0;
    if (err != 0 && err != MESH_EEXISTS) return err;
    err = fs->ops->sync_dir(fs, ".");
    if (err == 0) err = fs->ops->list(fs, DIRECTORY, found, dirs);
    for (size_t i = 0; i < dirs->count && err == 0; i++)
        err = read_name(dirs, &dirs->dirs[i]);
    return err;
}

bool metadata_dirs_has(const struct metadata_dirs *dirs, const struct uuid *topic_id)
{
    for (size_t i = 0; i < dirs->count; i++) {
        if (uuid_equal(&dirs->dirs[i].topic_id, topic_id)) return true;
    }
    return false;
}

/* ---- what goes ---- */

static int remove_one(struct metadata_dirs *dirs, size_t which)
{
    struct metadata_dir dir = dirs->dirs[which];
    char path[PATH_SIZE];
    int err;

    dirs->removing(dirs->user, &dir.topic_id, dir.name);
    path_of(&dir.topic_id, path);
    err = dirs->fs->ops->unlink(dirs->fs, path);
    if (err == 0) err = dirs->fs->ops->sync_dir(dirs->fs, DIRECTORY);
    if (err == 0) dirs->dirs[which] = dirs->dirs[--dirs->count];
    return err;
}

static bool has_deleted_namesake(const struct metadata_dirs *dirs, const struct image *image, const struct metadata_dir *dir)
{
    for (size_t i = 0; i < dirs->count; i++) {
        if (strcmp(dirs->dirs[i].name, dir->name) == 0 && image_topic_was_deleted(image, &dirs->dirs[i].topic_id)) return true;
    }
    return false;
}

static bool is_to_go(const struct metadata_dirs *dirs, const struct image *image, const struct metadata_dir *dir)
{
    if (image_topic_was_deleted(image, &dir->topic_id)) return true;
    if (image_find_topic(image, &dir->topic_id) == NULL) {
        SIM_SOMETIMES("the data of a topic that is not in the image yet stay");
        if (dirs->defects >> METADATA_DIRS_UNKNOWN & 1) return true;
    }
    return dirs->defects >> METADATA_DIRS_BY_NAME & 1 && has_deleted_namesake(dirs, image, dir);
}

/* ---- what comes ---- */

struct hosted {
    struct metadata_dirs *dirs;
    int32_t node_id;
};

static bool is_hosted(const struct image_topic *topic, int32_t node_id)
{
    for (uint32_t i = 0; i < topic->partition_count; i++) {
        struct image_partition partition;

        if (!image_topic_partition(topic, i, &partition)) continue;
        for (uint32_t k = 0; k < partition.replica_count; k++) {
            if (partition.replicas[k] == node_id) return true;
        }
    }
    return false;
}

static int host_topic(void *user, const struct image_topic *topic)
{
    struct hosted *hosted = user;
    struct metadata_dirs *dirs = hosted->dirs;
    char path[PATH_SIZE];
    int err;

    if (metadata_dirs_has(dirs, &topic->topic_id) || !is_hosted(topic, hosted->node_id) || dirs->count == METADATA_DIRS_MAX) return 0;
    path_of(&topic->topic_id, path);
    err = fs_replace(dirs->fs, DIRECTORY, path, DIRECTORY "/new", slice_of(topic->name, strlen(topic->name)));
    if (err == 0) add(dirs, &topic->topic_id, topic->name);
    return err;
}

int metadata_dirs_update(struct metadata_dirs *dirs, const struct image *image, int32_t node_id)
{
    struct hosted hosted = {dirs, node_id};
    int err = node_id == 0 ? 0 : image_each_topic(image, host_topic, &hosted);

    for (size_t i = dirs->count; i-- > 0 && err == 0;) {
        if (is_to_go(dirs, image, &dirs->dirs[i])) err = remove_one(dirs, i);
    }
    return err;
}
