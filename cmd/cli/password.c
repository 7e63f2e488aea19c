/* cli/password.c - see password.h. */
#include "cmd/cli/password.h"

#include "base/error.h"
#include "cmd/cli/terminal.h"
#include "crypto/crypto.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define CTRL_C    0x03
#define CTRL_D    0x04
#define BACKSPACE 0x08
#define CTRL_U    0x15
#define DELETE    0x7f

void password_wipe(struct password *password)
{
    crypto_wipe(password, sizeof(*password));
}

static int fail(char message[PASSWORD_MESSAGE_SIZE], int err, const char *text)
{
    snprintf(message, PASSWORD_MESSAGE_SIZE, "%s", text);
    return err;
}

static int judge(const struct password *password, char message[PASSWORD_MESSAGE_SIZE])
{
    if (password->size == 0) return fail(message, MESH_EINVAL, "the password is empty");
    if (memchr(password->text, 0, password->size) != NULL) return fail(message, MESH_EINVAL, "the password has a NUL in it");
    return 0;
}

static int too_long(char message[PASSWORD_MESSAGE_SIZE])
{
    snprintf(message, PASSWORD_MESSAGE_SIZE, "the password is longer than %d bytes", SCRAM_PASSWORD_SIZE_MAX);
    return MESH_EINVAL;
}

/* ---- files ---- */

/* The first line without its end; what follows is left where it is. */
static int read_line(int fd, struct password *password, char message[PASSWORD_MESSAGE_SIZE])
{
    char byte;

    for (;;) {
        ssize_t size = read(fd, &byte, 1);

        if (size < 0 && errno == EINTR) continue;
        if (size < 0) return fail(message, MESH_EIO, strerror(errno));
        if (size == 0 || byte == '\n') break;
        if (password->size == SCRAM_PASSWORD_SIZE_MAX) return too_long(message);
        password->text[password->size++] = byte;
    }
    if (password->size > 0 && password->text[password->size - 1] == '\r') password->size--;
    return judge(password, message);
}

/* ---- terminals ---- */

/* Bytes come one by one, and Ctrl-C is one of them: so the terminal is always left as it was. */
static int read_hidden(const char *prompt, struct password *password, char message[PASSWORD_MESSAGE_SIZE])
{
    struct termios before, hidden;
    int err = 0;

    if (tcgetattr(STDIN_FILENO, &before) != 0) return fail(message, MESH_EIO, strerror(errno));
    hidden = before;
    hidden.c_lflag &= ~(tcflag_t)(ECHO | ICANON | ISIG);
    hidden.c_cc[VMIN] = 1;
    hidden.c_cc[VTIME] = 0;
    if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden) != 0) return fail(message, MESH_EIO, strerror(errno));
    fprintf(stderr, "%s", prompt); /* only now: what is typed in answer is hidden */
    for (;;) {
        char byte;
        ssize_t size = read(STDIN_FILENO, &byte, 1);

        if (size < 0 && errno == EINTR) continue;
        if (size <= 0 || byte == CTRL_C || byte == CTRL_D) {
            err = fail(message, MESH_ECANCELED, "no password was given");
            break;
        }
        if (byte == '\n' || byte == '\r') break;
        if (byte == DELETE || byte == BACKSPACE) {
            /* A character of UTF-8 goes as a whole. */
            while (password->size > 0 && (password->text[--password->size] & 0xc0) == 0x80) {
            }
        } else if (byte == CTRL_U) {
            password->size = 0;
        } else if (password->size == SCRAM_PASSWORD_SIZE_MAX) {
            err = too_long(message);
            break;
        } else {
            password->text[password->size++] = byte;
        }
    }
    (void)tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
    fputc('\n', stderr);
    return err != 0 ? err : judge(password, message);
}

static int ask_twice(struct password *password, char message[PASSWORD_MESSAGE_SIZE])
{
    struct password again = {.size = 0};
    int err = read_hidden("Password: ", password, message);

    if (err == 0) err = read_hidden("Once more: ", &again, message);
    if (err == 0 && (again.size != password->size || memcmp(again.text, password->text, again.size) != 0))
        err = fail(message, MESH_EINVAL, "the two passwords differ");
    password_wipe(&again);
    return err;
}

int password_read(const char *path, struct password *ret_password, char message[PASSWORD_MESSAGE_SIZE])
{
    int fd, err;

    memset(ret_password, 0, sizeof(*ret_password));
    if (path == NULL) return terminal_is(STDIN_FILENO) ? ask_twice(ret_password, message) : read_line(STDIN_FILENO, ret_password, message);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        snprintf(message, PASSWORD_MESSAGE_SIZE, "%.128s: %s", path, strerror(errno));
        return MESH_EIO;
    }
    err = read_line(fd, ret_password, message);
    close(fd);
    return err;
}
