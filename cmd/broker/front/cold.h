/* broker/front/cold.h - keeps the loop off the disk: is a file range in the page cache, and if not, bring it there.
 *
 * sendfile() blocks on pages that are not cached. So a range is probed first, with one-byte reads that may not wait
 * (RWF_NOWAIT); a range that misses is read on the broker's READ thread, and sent afterwards. */
#ifndef BROKER_FRONT_COLD_H
#define BROKER_FRONT_COLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct connection;
struct fs_file;

/* Probes every 64 KiB and the last byte: the kernel reads ahead in larger steps than that. True where the file system cannot tell. */
bool cold_is_resident(const struct fs_file *file, uint64_t position, size_t size);

/* Starts loading; the connection's output waits, and is flushed again afterwards. Errors: MESH_ENOMEM. */
int cold_load(struct connection *connection, struct fs_file *file, uint64_t position, size_t size);

#endif
