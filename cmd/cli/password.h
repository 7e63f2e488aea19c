/* cli/password.h - a password from where passwords come from: a prompt that does not show it, a file, or standard input. Never an argument. */
#ifndef CLI_PASSWORD_H
#define CLI_PASSWORD_H

#include "sasl/scram.h"

struct password {
    char text[SCRAM_PASSWORD_SIZE_MAX + 1];
    size_t size;
};

#define PASSWORD_MESSAGE_SIZE 256

/* path NULL: asks twice on a terminal, else the first line of standard input. On failure `message` is a sentence. Errors: MESH_EINVAL (empty, too
 * long, a NUL in it, or not twice the same), MESH_EIO, MESH_ECANCELED (Ctrl-C at the prompt). The caller wipes it. */
int password_read(const char *path, struct password *ret_password, char message[PASSWORD_MESSAGE_SIZE]);
void password_wipe(struct password *password);

#endif
