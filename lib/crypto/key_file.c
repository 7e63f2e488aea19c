/* crypto/key_file.c - see key_file.h. */
#include "crypto/key_file.h"

#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MODE      0600
#define DIRECTORY_MODE 0700

/* ---- places ---- */

static bool is_given(const char *text)
{
    return text != NULL && text[0] != '\0';
}

/* False when the path is too long. */
static bool join(char to[KEY_PATH_MAX], const char *directory, const char *name)
{
    int size = snprintf(to, KEY_PATH_MAX, "%s/%s", directory, name);

    return size > 0 && size < KEY_PATH_MAX;
}

static int path_of(const char *path, const char *what, char ret_path[KEY_PATH_MAX], char *message, size_t message_size)
{
    struct stat st;

    if (strlen(path) >= KEY_PATH_MAX) {
        snprintf(message, message_size, "%s: the path is too long", what);
        return MESH_EIO;
    }
    if (stat(path, &st) != 0) {
        snprintf(message, message_size, "the key file %s (%s) cannot be read: %s: 'mesh key generate' makes one there, 'mesh key show' prints that of a mesh that is there",
                 path, what, strerror(errno));
        return MESH_EIO;
    }
    snprintf(ret_path, KEY_PATH_MAX, "%s", path);
    return 0;
}

/* A place where a key may be, but need not: ENOTFOUND leads to the next. */
static int look(const char *directory, const char *name, char ret_path[KEY_PATH_MAX], char *message, size_t message_size)
{
    char path[KEY_PATH_MAX];
    struct stat st;

    if (!is_given(directory)) return MESH_ENOTFOUND;
    if (!join(path, directory, name)) {
        snprintf(message, message_size, "%s: the path is too long", directory);
        return MESH_EIO;
    }
    if (stat(path, &st) == 0) {
        snprintf(ret_path, KEY_PATH_MAX, "%s", path);
        return 0;
    }
    if (errno == ENOENT || errno == ENOTDIR) return MESH_ENOTFOUND;
    snprintf(message, message_size, "cannot look for a key at %s: %s: let this user look there, or name another place with --data or --key-file", path, strerror(errno));
    return MESH_EIO;
}

/* The user's directory of settings, as the XDG base directory specification has it: a relative path is to be ignored. */
static bool user_place(const struct key_places *places, const char **ret_directory, const char **ret_name)
{
    if (is_given(places->xdg_config_home) && places->xdg_config_home[0] == '/') {
        *ret_directory = places->xdg_config_home;
        *ret_name = "mesh/key";
        return true;
    }
    *ret_directory = places->home;
    *ret_name = ".config/mesh/key";
    return is_given(places->home);
}

int key_file_find(const struct key_places *places, char ret_path[KEY_PATH_MAX], char *message, size_t message_size)
{
    const char *directory, *name;
    int err;

    if (is_given(places->option)) return path_of(places->option, "--key-file", ret_path, message, message_size);
    if (is_given(places->environment)) return path_of(places->environment, "MESH_KEY_FILE", ret_path, message, message_size);
    err = look(places->data_dir, "key", ret_path, message, message_size);
    if (err == MESH_ENOTFOUND && user_place(places, &directory, &name))
        err = look(directory, name, ret_path, message, message_size);
    if (err == MESH_ENOTFOUND) snprintf(message, message_size, "there is no cluster key on this machine");
    return err;
}

/* Whether this user may make what is missing of a path: the nearest directory above it that is there is his to write. */
static bool can_be_made(const char *path)
{
    char above[KEY_PATH_MAX], *slash;
    struct stat st;

    snprintf(above, sizeof(above), "%s", path);
    while ((slash = strrchr(above, '/')) != NULL) {
        slash[slash == above] = '\0';
        if (stat(above, &st) == 0) return S_ISDIR(st.st_mode) && faccessat(AT_FDCWD, above, W_OK | X_OK, AT_EACCESS) == 0;
        if (errno != ENOENT || slash == above) return false;
    }
    return false;
}

int key_file_place_for_new(const struct key_places *places, char ret_path[KEY_PATH_MAX], char *message, size_t message_size)
{
    const char *directory, *name;
    char path[KEY_PATH_MAX];

    bool has_user_place = user_place(places, &directory, &name);

    if (!has_user_place || (is_given(places->data_dir) && join(path, directory, name) && !can_be_made(path))) {
        directory = places->data_dir;
        name = "key";
    }
    if (!is_given(directory) || !join(path, directory, name)) {
        snprintf(message, message_size, "there is no place for a new cluster key: name one with --key-file");
        return MESH_ENOTFOUND;
    }
    snprintf(ret_path, KEY_PATH_MAX, "%s", path);
    return 0;
}

/* ---- reading ---- */

static int say_errno(const char *path, const char *what, char *message, size_t message_size)
{
    int saved = errno;

    snprintf(message, message_size, "%s cannot be %s: %s: let this user do it, or name another file with --key-file", path, what, strerror(saved));
    if (saved == EACCES || saved == EPERM || saved == EROFS) return MESH_EUNAUTHORIZED;
    return error_from_errno(saved);
}

/* The rule of PostgreSQL for its private keys: ours and 0600, or root's and at most 0640. */
static int check_owner(int fd, const char *path, char *message, size_t message_size)
{
    struct stat st;
    bool is_roots;

    if (fstat(fd, &st) != 0) return say_errno(path, "read", message, message_size);
    if (!S_ISREG(st.st_mode)) {
        snprintf(message, message_size, "%s is no file: --key-file wants one", path);
        return MESH_EINVAL;
    }
    if (st.st_uid != geteuid() && st.st_uid != 0) {
        snprintf(message, message_size, "%s belongs to another user, who could change the key: run chown for it, or copy it", path);
        return MESH_EUNAUTHORIZED;
    }
    is_roots = st.st_uid == 0 && geteuid() != 0;
    if ((st.st_mode & (is_roots ? 037 : 077)) != 0) {
        snprintf(message, message_size,
                 "%s can be read or changed by others (mode %04o), so its key may be known to them: run chmod 600 %s, or "
                 "make a new key",
                 path, (unsigned)st.st_mode & 07777, path);
        return MESH_EUNAUTHORIZED;
    }
    return 0;
}

/* At most size_max bytes; what is beyond is not read. */
static ssize_t read_all(int fd, uint8_t *to, size_t size_max)
{
    size_t size = 0;

    while (size < size_max) {
        ssize_t got = read(fd, to + size, size_max - size);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return -1;
        if (got == 0) break;
        size += (size_t)got;
    }
    return (ssize_t)size;
}

static int read_ring(int fd, const char *path, struct keyring *keyring, char *message, size_t message_size)
{
    uint8_t *text = sodium_malloc(KEYRING_TEXT_MAX + 1); /* one more, to see that there is more */
    char reason[256];
    ssize_t size;
    int err = MESH_ENOMEM;

    snprintf(message, message_size, "%s", mesh_strerror(err));
    if (text == NULL) return err;
    size = read_all(fd, text, KEYRING_TEXT_MAX + 1);
    if (size < 0) {
        err = say_errno(path, "read", message, message_size);
    } else {
        err = keyring_parse(keyring, slice_of(text, (size_t)size), reason, sizeof reason);
        if (err != 0) snprintf(message, message_size, "%s: %s ('mesh key show' prints a key that is good)", path, reason);
    }
    sodium_free(text);
    return err;
}

int key_file_read(const char *path, struct keyring *keyring, char *message, size_t message_size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK); /* a pipe in its place must not hold us */
    int err;

    if (fd < 0) return say_errno(path, "read", message, message_size);
    err = check_owner(fd, path, message, message_size);
    if (err == 0) err = read_ring(fd, path, keyring, message, message_size);
    close(fd);
    return err;
}

/* ---- writing ---- */

/* Where the last component begins; the directory before it is "." or "/" when there is none. */
static void split_path(const char *path, char ret_directory[KEY_PATH_MAX])
{
    const char *slash = strrchr(path, '/');

    if (slash == NULL)
        snprintf(ret_directory, KEY_PATH_MAX, ".");
    else
        snprintf(ret_directory, KEY_PATH_MAX, "%.*s", slash == path ? 1 : (int)(slash - path), path);
}

static int make_directories(const char *directory, char *message, size_t message_size)
{
    char part[KEY_PATH_MAX];

    for (size_t i = 1; i <= strlen(directory); i++) {
        if (directory[i] != '/' && directory[i] != '\0') continue;
        snprintf(part, sizeof part, "%.*s", (int)i, directory);
        if (mkdir(part, DIRECTORY_MODE) != 0 && errno != EEXIST && access(part, F_OK) != 0)
            return say_errno(part, "made", message, message_size);
    }
    return 0;
}

static int write_all(int fd, const char *text, size_t size)
{
    while (size != 0) {
        ssize_t written = write(fd, text, size);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return -1;
        text += written;
        size -= (size_t)written;
    }
    return fsync(fd);
}

/* Writes the ring beside `path`, under a name that nobody has; it is synced and whole on success. */
static int write_beside(const char *path, const struct keyring *keyring, char ret_temporary[KEY_PATH_MAX], char *message,
                        size_t message_size)
{
    char *text = sodium_malloc(KEYRING_TEXT_MAX);
    int fd, err = 0;

    if (text == NULL) {
        snprintf(message, message_size, "%s", mesh_strerror(MESH_ENOMEM));
        return MESH_ENOMEM;
    }
    errno = ENAMETOOLONG;
    fd = snprintf(ret_temporary, KEY_PATH_MAX, "%s.XXXXXX", path) >= KEY_PATH_MAX ? -1 : mkostemp(ret_temporary, O_CLOEXEC);
    if (fd < 0) {
        err = say_errno(path, "written", message, message_size);
        sodium_free(text);
        return err;
    }
    if (fchmod(fd, FILE_MODE) != 0 || write_all(fd, text, keyring_format(keyring, text)) != 0)
        err = say_errno(path, "written", message, message_size);
    close(fd);
    sodium_free(text);
    if (err != 0) unlink(ret_temporary);
    return err;
}

/* A crash may lose a new name as long as its directory is not synced. */
static int sync_directory(const char *directory)
{
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result;

    if (fd < 0) return -1;
    result = fsync(fd);
    close(fd);
    return result;
}

static int write_ring(const char *path, const struct keyring *keyring, bool replaces, char *message, size_t message_size)
{
    char directory[KEY_PATH_MAX], temporary[KEY_PATH_MAX];
    int err;

    split_path(path, directory);
    err = replaces ? 0 : make_directories(directory, message, message_size);
    if (err == 0) err = write_beside(path, keyring, temporary, message, message_size);
    if (err != 0) return err;
    /* link() never replaces: of two that make a key at once, one wins, and the other learns of it */
    if ((replaces ? rename(temporary, path) : link(temporary, path)) != 0) {
        err = errno == EEXIST ? MESH_EEXISTS : 0;
        if (err != 0)
            snprintf(message, message_size, "%s is there already", path);
        else
            err = say_errno(path, "written", message, message_size);
    }
    if (err != 0 || !replaces) unlink(temporary);
    if (err == 0 && sync_directory(directory) != 0) err = say_errno(directory, "synced", message, message_size);
    return err;
}

int key_file_create(const char *path, const struct keyring *keyring, char *message, size_t message_size)
{
    return write_ring(path, keyring, false, message, message_size);
}

int key_file_replace(const char *path, const struct keyring *keyring, char *message, size_t message_size)
{
    char *target = realpath(path, NULL); /* a link stays one: its target is replaced */
    int err;

    if (target == NULL) return say_errno(path, "replaced", message, message_size);
    err = write_ring(target, keyring, true, message, message_size);
    free(target);
    return err;
}
