/* broker/ready_file.c - DIR/ready.json: where a started broker is, for scripts that must not guess. */
#include "base/error.h"
#include "base/log.h"
#include "cmd/broker/start.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READY_PATH     "ready.json"
#define READY_PATH_NEW "ready.json.new"

static char *ready_text(const struct broker_ready *ready)
{
    char cluster[UUID_STRING_SIZE], broker[UUID_STRING_SIZE];
    json_t *object = json_pack("{s:s, s:s, s:s, s:s, s:I}", "address", ready->address, "cluster",
                               uuid_format(&ready->cluster_id, cluster), "broker",
                               uuid_format(&ready->broker_id, broker), "name", ready->name, "pid",
                               (json_int_t)getpid());
    char *text = NULL;

    if (object != NULL && (ready->gateway == NULL || json_object_set_new(object, "gateway", json_string(ready->gateway)) == 0))
        text = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    return text;
}

/* A new file takes the old one's place, so that nobody reads half of it. It need not survive a power cut. */
static int ready_write(struct fs *fs, const char *text)
{
    struct iovec iov[] = {{(void *)(uintptr_t)text, strlen(text)}, {(void *)(uintptr_t) "\n", 1}};
    struct fs_file *file;
    int err = fs_open(fs, READY_PATH_NEW, FS_WRITE | FS_CREATE, &file);

    if (err != 0) return err;
    err = fs->ops->truncate(file, 0);
    if (err == 0) err = fs->ops->write(file, iov, 2, 0);
    fs_unref(file);
    return err != 0 ? err : fs->ops->rename(fs, READY_PATH_NEW, READY_PATH);
}

void start_write_ready(struct broker *broker, const struct broker_ready *ready)
{
    char *text = ready_text(ready);
    int err = text == NULL ? MESH_ENOMEM : ready_write(broker->fs, text);

    free(text);
    if (err != 0) log_warn("cannot write ready.json data=\"%s\" error=\"%s\"", broker->data_dir, mesh_strerror(err));
}

void start_remove_ready(struct broker *broker)
{
    (void)broker->fs->ops->unlink(broker->fs, READY_PATH);
}
