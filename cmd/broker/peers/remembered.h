/* peers/remembered.h - where other brokers were when last seen: DIR/members, a small text file, so that a broker that comes
 * back with another address and without seeds still finds its mesh.
 *
 *     mesh members 1
 *     10.0.0.2:9092
 *     [2001:db8::7]:9092
 *
 * Addresses are hints, as seeds are: whoever answers there has to prove itself. Lines that cannot be read are passed over. */
#ifndef BROKER_PEERS_REMEMBERED_H
#define BROKER_PEERS_REMEMBERED_H

#include "base/fs.h"
#include "base/net_address.h"

#define REMEMBERED_MAX  64 /* addresses; any one of them suffices */
#define REMEMBERED_PATH "members"

/* Errors: MESH_ENOTFOUND (there is no such file), MESH_EVERSION (a later mesh wrote it), MESH_ECORRUPT (it is something
 * else), MESH_ETOOLARGE, MESH_EIO, MESH_ENOMEM; then *ret_count is 0. */
int remembered_read(struct fs *fs, struct net_address to[REMEMBERED_MAX], size_t *ret_count);

/* Replaces the file atomically. Blocks on the disk. Errors: MESH_EIO, MESH_EFULL, MESH_ENOMEM; the file is then as before. */
int remembered_write(struct fs *fs, const struct net_address *addresses, size_t count);

#endif
