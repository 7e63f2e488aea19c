#include "cmd/cli/screen.h"

#include "base/clock.h"
#include "base/error.h"
#include "cmd/cli/interrupt.h"
#include "cmd/cli/standard_output.h"
#include "cmd/cli/terminal.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#define ROWS_DEFAULT 24
#define ROWS_MIN     10

static struct termios before; /* of standard input */
static bool is_ours, has_keyboard, is_left;

void screen_begin(void)
{
    static const char enter[] = "\033[?1049h\033[?25l"; /* the other screen, no cursor */
    struct termios raw;

    has_keyboard = isatty(STDIN_FILENO) == 1 && tcgetattr(STDIN_FILENO, &before) == 0;
    if (has_keyboard) {
        raw = before;
        raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO); /* signals keep their keys */
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    }
    is_ours = true;
    (void)standard_output_write(enter, sizeof(enter) - 1);
}

void screen_end(void)
{
    static const char leave[] = "\033[?25h\033[?1049l";

    if (!is_ours) return;
    is_ours = false;
    (void)standard_output_write(leave, sizeof(leave) - 1);
    if (has_keyboard) (void)tcsetattr(STDIN_FILENO, TCSANOW, &before);
}

size_t screen_height(void)
{
    struct winsize size;

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0) return ROWS_DEFAULT;
    return size.ws_row < ROWS_MIN ? ROWS_MIN : size.ws_row;
}

int screen_home(struct buffer *text)
{
    return buffer_append_string(text, "\033[H");
}

/* The bytes of a line that fit into `columns`: escapes take no room, and bytes that go on with a letter none of their own. */
static size_t fitting(const uint8_t *line, size_t size, size_t columns)
{
    size_t used = 0, at = 0;

    while (at < size) {
        if (line[at] == '\033') {
            while (at < size && line[at] != 'm' && line[at] != 'H')
                at++;
            at += at < size;
            continue;
        }
        if ((line[at] & 0xc0) != 0x80 && used++ == columns) break;
        at++;
    }
    return at;
}

int screen_fit(struct buffer *text)
{
    static const char line_end[] = "\033[0m\033[K\r\n";
    size_t rows = screen_height(), columns = terminal_width(STDOUT_FILENO);
    struct buffer fitted = BUFFER_INIT;
    const uint8_t *at = text->data;
    size_t left = text->size;
    int err = 0;

    for (size_t row = 0; err == 0 && left > 0 && row + 1 < rows; row++) {
        const uint8_t *end = memchr(at, '\n', left);
        size_t size = end != NULL ? (size_t)(end - at) : left;

        err = buffer_append(&fitted, at, fitting(at, size, columns));
        if (err == 0) err = buffer_append(&fitted, line_end, sizeof(line_end) - 1);
        size += end != NULL;
        at += size;
        left -= size;
    }
    if (err == 0) err = buffer_append_string(&fitted, "\033[J");
    buffer_deinit(text);
    *text = fitted;
    return err;
}

/* Waits for keys, and notes whether q is one of them. */
static void read_keys(int wait_ms)
{
    struct pollfd polled = {.fd = is_ours && has_keyboard && !is_left ? STDIN_FILENO : -1, .events = POLLIN};
    char keys[64];
    ssize_t got;

    if (poll(&polled, 1, wait_ms) <= 0) return;
    got = read(STDIN_FILENO, keys, sizeof(keys));
    if (got <= 0) has_keyboard = false; /* closed: nothing comes from there any more */
    is_left = got > 0 && (memchr(keys, 'q', (size_t)got) != NULL || memchr(keys, 'Q', (size_t)got) != NULL);
}

bool screen_is_left(void)
{
    read_keys(0);
    return is_left || interrupt_signal() != 0;
}

bool screen_wait(uint64_t end_ms)
{
    while (!is_left && interrupt_signal() == 0) {
        uint64_t now_ms = clock_monotonic_ms();
        uint64_t wait_ms = end_ms > now_ms ? end_ms - now_ms : 0;

        if (wait_ms == 0) return true;
        read_keys((int)(wait_ms > INTERRUPT_LOOK_MS ? INTERRUPT_LOOK_MS : wait_ms));
    }
    return false;
}
