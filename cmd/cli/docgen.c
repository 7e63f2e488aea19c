/* mesh-docgen: writes the man page, a completion or the configuration reference to standard output at build time.
 *
 *   mesh-docgen man|bash|zsh|fish|configuration */
#include "cmd/cli/completion.h"
#include "cmd/cli/manual.h"
#include "cmd/cli/reference.h"

#include <mesh/error.h>

#include <stdio.h>
#include <string.h>

static int generate(const char *what, struct buffer *to)
{
    if (strcmp(what, "man") == 0) return manual_write(to, MESH_DOC_VERSION);
    if (strcmp(what, "bash") == 0) return completion_bash(to);
    if (strcmp(what, "zsh") == 0) return completion_zsh(to);
    if (strcmp(what, "fish") == 0) return completion_fish(to);
    if (strcmp(what, "configuration") == 0) return reference_write(to);
    return MESH_EINVAL;
}

int main(int argc, char **argv)
{
    struct buffer text = BUFFER_INIT;
    int err = argc == 2 ? generate(argv[1], &text) : MESH_EINVAL;
    bool is_written = err == 0 && fwrite(text.data, 1, text.size, stdout) == text.size && fflush(stdout) == 0;

    buffer_deinit(&text);
    if (err != 0)
        fprintf(stderr, "mesh-docgen: %s (usage: mesh-docgen man|bash|zsh|fish|configuration)\n", mesh_strerror(err));
    return is_written ? 0 : 1;
}
