/* unsynced_names.h - names that come, go and move, and are on the disk only when their directory is synced.
 *
 * They are changed in the directory below at once, and what was there before is kept in a stash, so that a power cut can take back, newest
 * first, what no sync of its directory has made durable. A sync of a file says nothing about its name: file systems that do more are not
 * to be relied on. */
#ifndef MESH_CHAOS_UNSYNCED_NAMES_H
#define MESH_CHAOS_UNSYNCED_NAMES_H

#include <stdbool.h>
#include <stddef.h>

/* `root_fd`: the directory that paths (relative, "" never) belong to; `stash_fd`: a directory of the same file system. Borrowed for ever. */
void names_init(int root_fd, int stash_fd);

/* Each returns 0 or a negative errno, in which case nothing has changed. */
int names_created(const char *path); /* it has been made by the caller, file or directory */
int names_remove(const char *path);  /* a file, or an empty directory */
int names_rename(const char *from, const char *to);
void names_sync(const char *directory); /* "" is the root */

/* The power is cut: takes back all that is not synced; with `survives`, only from some change on. Returns how many changes were lost. */
size_t names_cut(bool (*survives)(void));

#endif
