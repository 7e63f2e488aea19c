/* crypto/key_file.h - where a keyring lies on disk. The only file of this folder that opens files; kept in a library of
 * its own, so that the rest stays a core. Calls block; `message` always has a sentence after a failure.
 *
 * A key file is a ring's text (keyring.h). Its owner is this user or root, and others may not read it: mode 0600, or
 * 0640 and stricter when it is root's and we are not (a mounted secret). A ring stays in the file that it came from:
 * what replaces it there is written beside it, synced, renamed. */
#ifndef CRYPTO_KEY_FILE_H
#define CRYPTO_KEY_FILE_H

#include "crypto/keyring.h"

#define KEY_PATH_MAX 4096 /* bytes with NUL */

/* All may be NULL or "". The caller has read the environment. */
struct key_places {
    const char *option;          /* --key-file */
    const char *environment;     /* MESH_KEY_FILE */
    const char *data_dir;        /* DATA/key */
    const char *xdg_config_home; /* XDG_CONFIG_HOME/mesh/key */
    const char *home;            /* else HOME/.config/mesh/key */
};

/* The path of the first place, in the order above, that has a file. A place that was named (option, environment) must
 * have one. Errors: MESH_ENOTFOUND (nowhere a key, `ret_path` is untouched), MESH_EIO (a named file is missing, or
 * a directory cannot be searched). */
int key_file_find(const struct key_places *places, char ret_path[KEY_PATH_MAX], char *message, size_t message_size);

/* Where a new key belongs: the user's configuration; without a home, or in one that is not there or not to be written (users of services have such), the data
 * directory. Errors: MESH_ENOTFOUND. */
int key_file_place_for_new(const struct key_places *places, char ret_path[KEY_PATH_MAX], char *message, size_t message_size);

/* Errors: those of keyring_parse(), MESH_EUNAUTHORIZED (others may read it, or it is somebody else's), MESH_ENOTFOUND,
 * MESH_EIO, MESH_ENOMEM. */
int key_file_read(const char *path, struct keyring *keyring, char *message, size_t message_size);

/* Makes the file, and missing directories (mode 0700) above it. Never replaces one: MESH_EEXISTS means that another
 * process was faster, and that its key is the one to read. Durable on return. Errors: MESH_EEXISTS, MESH_EIO, MESH_EFULL,
 * MESH_EUNAUTHORIZED. */
int key_file_create(const char *path, const struct keyring *keyring, char *message, size_t message_size);

/* Replaces the file's ring, durably. Errors: as above but for MESH_EEXISTS; the old file is then as it was. */
int key_file_replace(const char *path, const struct keyring *keyring, char *message, size_t message_size);

#endif
