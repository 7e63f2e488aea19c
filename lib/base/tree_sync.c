#include "base/tree_sync.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define DEPTH_MAX 16 /* our trees have four levels */

/* statfs's f_type; linux/magic.h lacks some of them. */
#define TYPE_FUSE 0x65735546u
#define TYPE_9P   0x01021997u
#define TYPE_CIFS 0xff534d42u
#define TYPE_SMB2 0xfe534d42u

struct walk {
    size_t count;
    int first_errno;
};

static void walk_directory(struct walk *walk, int fd, unsigned depth); /* recursive through walk_entry */

bool tree_is_synced_by_syncfs(int fd)
{
    struct statfs st;

    if (fstatfs(fd, &st) != 0) return false;
    switch ((unsigned)st.f_type) {
    case TYPE_FUSE:
    case TYPE_9P:
    case TYPE_CIFS:
    case TYPE_SMB2: return false;
    default: return true;
    }
}

static void note(struct walk *walk, int error)
{
    if (error != 0 && error != ENOENT && walk->first_errno == 0) walk->first_errno = error;
}

static void sync_one(struct walk *walk, int fd)
{
    walk->count++;
    note(walk, fsync(fd) == 0 ? 0 : errno);
}

static int open_entry(int directory_fd, const char *name)
{
    int fd;

    do {
        fd = openat(directory_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

static void walk_entry(struct walk *walk, int directory_fd, const char *name, unsigned depth)
{
    int fd = open_entry(directory_fd, name);
    struct stat st;

    if (fd < 0) {
        note(walk, errno == ELOOP ? 0 : errno); /* links are not ours */
        return;
    }
    if (fstat(fd, &st) != 0)
        note(walk, errno);
    else if (S_ISREG(st.st_mode))
        sync_one(walk, fd);
    else if (S_ISDIR(st.st_mode))
        walk_directory(walk, fd, depth + 1);
    close(fd);
}

static void walk_directory(struct walk *walk, int fd, unsigned depth)
{
    int listed_fd = depth < DEPTH_MAX ? open_entry(fd, ".") : -1;
    DIR *directory = listed_fd >= 0 ? fdopendir(listed_fd) : NULL;
    struct dirent *entry;

    if (directory == NULL) {
        note(walk, depth < DEPTH_MAX ? errno : ENAMETOOLONG);
        if (listed_fd >= 0) close(listed_fd);
        return;
    }
    while (errno = 0, (entry = readdir(directory)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            walk_entry(walk, fd, entry->d_name, depth);
    note(walk, errno);
    closedir(directory);
    sync_one(walk, fd);
}

int tree_sync(int directory_fd, size_t *ret_count)
{
    struct walk walk = {0};

    walk_directory(&walk, directory_fd, 0);
    if (ret_count != NULL) *ret_count = walk.count;
    errno = walk.first_errno;
    return walk.first_errno == 0 ? 0 : -1;
}
