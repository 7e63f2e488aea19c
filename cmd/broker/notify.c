/* broker/notify.c - see notify.h. */
#include "cmd/broker/notify.h"

#include "base/log.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define TEXT_SIZE 512

/* A path, or a name of the abstract space behind '@', which stands for the zero byte. Returns 0: neither. */
static socklen_t address_of(const char *name, struct sockaddr_un *ret)
{
    size_t size = strlen(name);

    if ((name[0] != '/' && name[0] != '@') || size < 2 || size >= sizeof(ret->sun_path)) return 0;
    memset(ret, 0, sizeof(*ret));
    ret->sun_family = AF_UNIX;
    memcpy(ret->sun_path, name, size);
    if (name[0] == '@') ret->sun_path[0] = '\0';
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size + (name[0] == '/'));
}

void notify_open(struct notify *notify)
{
    const char *name = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address;
    socklen_t size;

    *notify = (struct notify){.fd = -1};
    if (name == NULL || name[0] == '\0') return;
    size = address_of(name, &address);
    if (size > 0) notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (notify->fd >= 0 && connect(notify->fd, (struct sockaddr *)&address, size) == 0) return;
    log_warn("the service manager cannot be told anything: NOTIFY_SOCKET names no socket that can be reached path=\"%s\" error=\"%s\"", name,
             size == 0 ? "it is neither a path nor @NAME" : strerror(errno));
    notify_close(notify);
}

/* A manager whose queue is full hears the next sign of life; READY and STOPPING are the first ones, long before it could be. */
static void say(const struct notify *notify, const char *text)
{
    if (notify->fd < 0) return;
    if (send(notify->fd, text, strlen(text), MSG_NOSIGNAL) < 0)
        log_warn("the service manager was not told error=\"%s\" text=\"%.40s\"", strerror(errno), text);
}

static void on_watchdog(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    say(timer->data, "WATCHDOG=1");
}

/* $WATCHDOG_USEC, when it is meant for this process. 0: nobody watches. */
static double watchdog_seconds(void)
{
    const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    long long number;
    char *end;

    if (usec == NULL || (pid != NULL && strtoll(pid, NULL, 10) != (long long)getpid())) return 0.;
    errno = 0;
    number = strtoll(usec, &end, 10);
    return errno != 0 || *end != '\0' || number <= 0 ? 0. : (double)number / 1e6;
}

void notify_ready(struct notify *notify, struct ev_loop *loop, const char *address)
{
    double seconds = watchdog_seconds();
    char text[TEXT_SIZE];

    if (notify->fd < 0) return;
    snprintf(text, sizeof(text), "READY=1\nSTATUS=serving on %s", address);
    say(notify, text);
    if (seconds <= 0.) return;
    ev_timer_init(&notify->watchdog, on_watchdog, seconds / 2, seconds / 2);
    notify->watchdog.data = notify;
    notify->loop = loop;
    ev_timer_start(loop, &notify->watchdog);
}

void notify_waiting(struct notify *notify, const char *what)
{
    char text[TEXT_SIZE];

    snprintf(text, sizeof(text), "STATUS=%s", what);
    text[strcspn(text, "\n")] = '\0'; /* a line is an assignment */
    say(notify, text);
}

void notify_stopping(struct notify *notify)
{
    say(notify, "STOPPING=1\nSTATUS=handing over, and finishing what is in flight");
}

void notify_close(struct notify *notify)
{
    if (notify->loop != NULL) ev_timer_stop(notify->loop, &notify->watchdog);
    if (notify->fd >= 0) close(notify->fd);
    notify->loop = NULL;
    notify->fd = -1;
}
