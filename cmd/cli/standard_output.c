#include "cmd/cli/standard_output.h"

#include "base/error.h"
#include "cmd/cli/failure.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

/* Standard output may have been made non-blocking by whoever shares it. */
static void wait_writable(void)
{
    struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};

    (void)poll(&out, 1, -1);
}

int standard_output_write(const void *data, size_t size)
{
    const char *bytes = data;

    while (size > 0) {
        ssize_t written = write(STDOUT_FILENO, bytes, size);
        if (written >= 0) {
            bytes += written;
            size -= (size_t)written;
        } else if (errno == EAGAIN) {
            wait_writable();
        } else if (errno == EPIPE) {
            return MESH_ECLOSED;
        } else if (errno != EINTR) {
            return error_from_errno(errno);
        }
    }
    return 0;
}

int standard_output_finish(struct buffer *text, int err)
{
    if (err == 0) err = standard_output_write(text->data, text->size);
    buffer_deinit(text);
    if (err == 0 || err == MESH_ECLOSED) return EXIT_DONE;
    return (int)failure_output(err, "writing to standard output");
}
