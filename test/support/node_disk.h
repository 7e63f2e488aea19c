/* support/node_disk.h - the disk of a metadata node in memory: what is done is durable, what is not done is lost with its process. Behaves as
 * consensus/store.h says. */
#ifndef SUPPORT_NODE_DISK_H
#define SUPPORT_NODE_DISK_H

#include "replication/metadata/node.h"

struct node_disk;
struct disk_job; /* a STORE_* or SNAPSHOT_TAKE output, with copies of all that it points to */

struct disk_job *disk_job_new(const struct node_output *output);
void disk_job_free(struct disk_job *job); /* accepts NULL */

struct node_disk *node_disk_new(void);
void node_disk_free(struct node_disk *disk);
int node_disk_do(struct node_disk *disk, const struct disk_job *job);
/* The caller frees ret_recovered->entries with free(), and drops *ret_image (NULL: none). */
void node_disk_recover(const struct node_disk *disk, struct raft_recovered *ret_recovered, struct image **ret_image);
int node_disk_read(const struct node_disk *disk, uint64_t index, uint64_t offset, uint64_t size, struct node_snapshot *ret_snapshot);
int node_disk_image(const struct node_disk *disk, struct image **ret_image);
void node_disk_damage_chunk(struct node_disk *disk); /* the last chunk of the next snapshot from elsewhere */
/* What was stored of recoveries last. */
struct slice node_disk_recovery(const struct node_disk *disk);
void node_disk_break(struct node_disk *disk);        /* everything fails from now on */

#endif
