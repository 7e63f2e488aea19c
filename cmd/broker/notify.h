/* broker/notify.h - tells the service manager that started this process how it is: sd_notify(3)'s protocol, which is one datagram of
 * lines to the socket that $NOTIFY_SOCKET names. Without that variable nothing is sent, and nothing costs anything.
 *
 * READY=1 when the broker serves, STATUS= what it waits for or where it is, STOPPING=1 when a stop begins, WATCHDOG=1 twice in each
 * $WATCHDOG_USEC while the control loop turns: one that hangs is noticed, and the manager restarts it. Control loop only. */
#ifndef BROKER_NOTIFY_H
#define BROKER_NOTIFY_H

#include <ev.h>
#include <stdbool.h>

struct notify {
    int fd; /* connected to the manager; -1: there is none */
    ev_timer watchdog;
    struct ev_loop *loop; /* of the watchdog's timer; NULL: it does not run */
};

/* Reads the environment once. A socket that cannot be reached is told in the log, and is then as none: a broker serves anyway. */
void notify_open(struct notify *notify);

void notify_ready(struct notify *notify, struct ev_loop *loop, const char *address); /* and begins the watchdog's signs of life */
void notify_waiting(struct notify *notify, const char *what);
void notify_stopping(struct notify *notify);
void notify_close(struct notify *notify); /* Harmless when there is none. */

#endif
