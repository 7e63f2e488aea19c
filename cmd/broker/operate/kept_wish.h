/* operate/kept_wish.h - that this broker is to be emptied (`mesh drain --empty`), kept over its restarts: DIR/emptying is there. A drain of its leaderships ends with a restart; one
 * who is taken out for good would be given replicas again. */
#ifndef BROKER_OPERATE_KEPT_WISH_H
#define BROKER_OPERATE_KEPT_WISH_H

#include "base/fs.h"

#include <stdbool.h>

#define KEPT_WISH_PATH "emptying"

/* No file is no wish. Errors: MESH_ECORRUPT (it is something else), MESH_EIO, MESH_ENOMEM; then *ret_is_wanted is false. */
int kept_wish_read(struct fs *fs, bool *ret_is_wanted);

/* Durable when it returns. Blocks on the disk. Errors: MESH_EIO, MESH_EFULL, MESH_ENOMEM; then it may be either way. */
int kept_wish_write(struct fs *fs, bool is_wanted);

#endif
