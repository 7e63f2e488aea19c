/* sim/metadata_dirs.h - a stand-in for partition data: a host keeps one file for each topic that it hosts, as cmd/broker does with directories.
 * It is made when an image that places the topic here is published, and removed only when an image says that the topic was deleted. A topic
 * that the image does not know is left alone: the image may be older than the file. */
#ifndef SIM_METADATA_DIRS_H
#define SIM_METADATA_DIRS_H

#include "base/fs.h"
#include "replication/coordinator/image.h"

#define METADATA_DIRS_MAX      512
#define METADATA_DIR_NAME_SIZE 32

/* Mistakes that a broker could make with them (PROTOCOLS 4.2). */
enum metadata_dirs_defect {
    METADATA_DIRS_BY_NAME = 1, /* 14: with a deleted topic goes whatever has its name */
    METADATA_DIRS_UNKNOWN = 2, /* 22: what the image does not know is an orphan, and goes */
};

struct metadata_dirs {
    struct fs *fs;
    struct metadata_dir {
        struct uuid topic_id;
        char name[METADATA_DIR_NAME_SIZE];
    } dirs[METADATA_DIRS_MAX];
    size_t count;
    unsigned defects; /* 1 << each */
    void (*removing)(void *user, const struct uuid *topic_id, const char *name);
    void *user;
};

int metadata_dirs_open(struct metadata_dirs *dirs, struct fs *fs); /* what is there; fields besides are the caller's */
bool metadata_dirs_has(const struct metadata_dirs *dirs, const struct uuid *topic_id);

/* A new image. 0, or what the disk said: what is missing is then made up for with the next image. */
int metadata_dirs_update(struct metadata_dirs *dirs, const struct image *image, int32_t node_id);

#endif
