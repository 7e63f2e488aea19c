#include "client/lookup.h"

#include "base/assert.h"
#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Untouched pages cost nothing, and of this nobody knows what is left for a look-up: thread-local data of the application and its libraries come off it first (a stack
 * that they do not fit in makes no thread at all), then the system's modules for names. Those for files and DNS take 16 KiB. */
#define STACK_SIZE (2u << 20)

/* The thread writes what came of it before is_over, the user reads it after. Whoever lets go last frees it. */
struct lookup {
    struct address address;
    struct address_sockets sockets;
    const char *reason; /* static */
    int err;
    int event_fd; /* readable for ever once it is over */
    atomic_bool is_over;
    atomic_int holders;
};

static void let_go(struct lookup *lookup)
{
    if (atomic_fetch_sub(&lookup->holders, 1) > 1) return;
    close(lookup->event_fd);
    free(lookup);
}

static void *run(void *user)
{
    const uint64_t one = 1;
    struct lookup *lookup = user;

    lookup->reason = "";
    lookup->err = address_resolve(&lookup->address, &lookup->sockets, &lookup->reason);
    atomic_store(&lookup->is_over, true);
    MESH_ASSERT(write(lookup->event_fd, &one, sizeof(one)) == (ssize_t)sizeof(one));
    let_go(lookup);
    return NULL;
}

/* Detached, and with all signals blocked: they are for the application's threads. */
static int start_thread(struct lookup *lookup)
{
    sigset_t all, before;
    pthread_attr_t attributes;
    pthread_t thread;
    int error = pthread_attr_init(&attributes);

    if (error != 0) return MESH_ENOMEM;
    (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    (void)pthread_attr_setstacksize(&attributes, STACK_SIZE);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&thread, &attributes, run, lookup);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return error == 0 ? 0 : MESH_EIO;
}

int lookup_new(const struct address *address, struct lookup **ret_lookup)
{
    struct lookup *lookup = calloc(1, sizeof(*lookup));
    int err = MESH_EIO;

    if (lookup == NULL) return MESH_ENOMEM;
    lookup->address = *address;
    lookup->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    atomic_init(&lookup->is_over, false);
    atomic_init(&lookup->holders, 2);
    if (lookup->event_fd >= 0) err = start_thread(lookup);
    if (err == 0) {
        *ret_lookup = lookup;
        return 0;
    }
    if (lookup->event_fd >= 0) close(lookup->event_fd);
    free(lookup);
    return err;
}

void lookup_free(struct lookup *lookup)
{
    if (lookup != NULL) let_go(lookup);
}

bool lookup_is_of(const struct lookup *lookup, const struct address *address)
{
    return lookup->address.port == address->port && strcmp(lookup->address.host, address->host) == 0;
}

int lookup_open_fd(const struct lookup *lookup, int *ret_fd)
{
    *ret_fd = fcntl(lookup->event_fd, F_DUPFD_CLOEXEC, 0);
    return *ret_fd < 0 ? MESH_EIO : 0;
}

int lookup_take(const struct lookup *lookup, struct address_sockets *ret_sockets, const char **ret_reason)
{
    MESH_ASSERT(atomic_load(&lookup->is_over));
    *ret_reason = lookup->reason;
    if (lookup->err == 0) *ret_sockets = lookup->sockets;
    return lookup->err;
}
