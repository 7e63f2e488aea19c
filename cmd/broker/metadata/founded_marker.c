/* metadata/founded_marker.c - see founded_marker.h. */
#include "cmd/broker/metadata/founded_marker.h"

#include "base/error.h"
#include "base/fs_whole.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define MARKER_SIZE_MAX 256
#define PREFIX          "founded="
#define PREFIX_SIZE     (sizeof(PREFIX) - 1)

int founded_marker_place(const char *path, struct fs **ret_fs, const char **ret_name, char *message, size_t message_size)
{
    const char *slash = strrchr(path, '/'), *name = slash == NULL ? path : slash + 1;
    char directory[4096];
    struct stat status;
    int err;

    message[0] = '\0';
    if (name[0] == '\0' || strlen(name) + sizeof(".new") > FS_PATH_MAX || strlen(path) >= sizeof(directory)) {
        snprintf(message, message_size, "--founded-marker \"%s\" is no path of a file", path);
        return MESH_EINVAL;
    }
    snprintf(directory, sizeof(directory), "%.*s", slash == NULL ? 1 : slash == path ? 1 : (int)(slash - path), slash == NULL ? "." : path);
    if (stat(directory, &status) != 0 || !S_ISDIR(status.st_mode)) {
        snprintf(message, message_size,
                 "the directory of --founded-marker %s is not there: mount its volume, or make the directory if this is its first use", path);
        return MESH_ENOTFOUND;
    }
    err = fs_real_new(directory, ret_fs);
    if (err == 0)
        *ret_name = name;
    else
        snprintf(message, message_size, "the directory of --founded-marker %s cannot be opened: %s", path, mesh_strerror(err));
    return err;
}

static int parse(struct slice text, struct uuid *ret_cluster_id)
{
    char uuid[UUID_STRING_SIZE];

    while (text.size > 0 && (text.data[text.size - 1] == '\n' || text.data[text.size - 1] == '\r' || text.data[text.size - 1] == ' '))
        text.size--;
    if (text.size != PREFIX_SIZE + UUID_STRING_SIZE - 1 || memcmp(text.data, PREFIX, PREFIX_SIZE) != 0) return MESH_EINVAL;
    memcpy(uuid, text.data + PREFIX_SIZE, UUID_STRING_SIZE - 1);
    uuid[UUID_STRING_SIZE - 1] = '\0';
    return uuid_parse(uuid, ret_cluster_id);
}

int founded_marker_read(struct fs *fs, const char *name, struct uuid *ret_cluster_id, char *message, size_t message_size)
{
    struct buffer bytes = BUFFER_INIT;
    struct uuid cluster_id = {{0}};
    int err = fs_read_whole(fs, name, MARKER_SIZE_MAX, &bytes);

    message[0] = '\0';
    if (err == MESH_ENOTFOUND) {
        err = 0;
    } else if (err == MESH_ETOOLARGE || (err == 0 && (parse(buffer_slice(&bytes), &cluster_id) != 0 || uuid_is_zero(&cluster_id)))) {
        err = MESH_ECORRUPT;
        snprintf(message, message_size,
                 "the marker %s does not say which mesh was founded: write \"" PREFIX "UUID\" into it, with the uuid that 'mesh status' prints where the "
                 "mesh runs, or remove it if no mesh was founded",
                 name);
    } else if (err != 0) {
        snprintf(message, message_size, "the marker %s cannot be read: %s", name, mesh_strerror(err));
    }
    buffer_deinit(&bytes);
    if (err == 0) *ret_cluster_id = cluster_id;
    return err;
}

int founded_marker_write(struct fs *fs, const char *name, const struct uuid *cluster_id)
{
    char text[PREFIX_SIZE + UUID_STRING_SIZE + 1], uuid[UUID_STRING_SIZE], temporary[FS_PATH_MAX + 8];
    int size = snprintf(text, sizeof(text), PREFIX "%s\n", uuid_format(cluster_id, uuid));

    snprintf(temporary, sizeof(temporary), "%s.new", name);
    return fs_replace(fs, ".", name, temporary, slice_of(text, (size_t)size));
}
