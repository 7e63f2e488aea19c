/* base/tree_sync.h - syncs files one by one, where syncfs(2) does not.
 *
 * On file systems that hand bytes to another program or machine, syncfs() ends where the kernel's own memory ends: FUSE does not even tell its server.
 * It returns 0 all the same. fsync() of a file is passed on. */
#ifndef BASE_TREE_SYNC_H
#define BASE_TREE_SYNC_H

#include <stdbool.h>
#include <stddef.h>

/* Whether syncfs() on this descriptor makes durable what the kernel was given. */
bool tree_is_synced_by_syncfs(int fd);

/* Syncs every regular file below the directory, then each directory. What is removed meanwhile is left out. ret_count (may be NULL): of files and
 * directories. -1 with errno: one could not be read or synced; the others have been all the same. */
int tree_sync(int directory_fd, size_t *ret_count);

#endif
