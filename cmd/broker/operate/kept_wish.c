#include "cmd/broker/operate/kept_wish.h"

#include "base/error.h"
#include "base/fs_whole.h"

#include <string.h>

#define TEXT      "mesh emptying 1\n"
#define TEMPORARY KEPT_WISH_PATH ".new"

int kept_wish_read(struct fs *fs, bool *ret_is_wanted)
{
    struct buffer bytes = BUFFER_INIT;
    int err = fs_read_whole(fs, KEPT_WISH_PATH, sizeof(TEXT), &bytes);

    *ret_is_wanted = err == 0 && bytes.size == strlen(TEXT) && memcmp(bytes.data, TEXT, strlen(TEXT)) == 0;
    if (err == MESH_ETOOLARGE || (err == 0 && !*ret_is_wanted)) err = MESH_ECORRUPT;
    buffer_deinit(&bytes);
    return err == MESH_ENOTFOUND ? 0 : err;
}

int kept_wish_write(struct fs *fs, bool is_wanted)
{
    int err;

    if (is_wanted) return fs_replace(fs, ".", KEPT_WISH_PATH, TEMPORARY, slice_of_string(TEXT));
    err = fs->ops->unlink(fs, KEPT_WISH_PATH);
    if (err == MESH_ENOTFOUND) return 0;
    return err != 0 ? err : fs->ops->sync_dir(fs, ".");
}
