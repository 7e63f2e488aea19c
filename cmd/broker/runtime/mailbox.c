/* broker/runtime/mailbox.c - a Treiber stack whose receiver takes everything at once, and a sleep flag.
 *
 * Lost wake-ups: the receiver stores is_asleep, then looks at the stack; a sender pushes, then looks at is_asleep. Both
 * are sequentially consistent, so at least one of the two sees the other. */
#include "cmd/broker/runtime/mailbox.h"

#include "base/assert.h"
#include "base/error.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

int mailbox_init(struct mailbox *mailbox)
{
    int fd = eventfd(0, EFD_CLOEXEC);

    if (fd < 0) return error_from_errno(errno);
    atomic_init(&mailbox->newest, NULL);
    atomic_init(&mailbox->is_asleep, false);
    mailbox->event_fd = fd;
    return 0;
}

void mailbox_deinit(struct mailbox *mailbox)
{
    if (mailbox->event_fd >= 0) close(mailbox->event_fd);
    mailbox->event_fd = -1;
}

/* The counter of an eventfd neither overflows here nor fails; both calls are whole or not at all. */
static void mailbox_signal(struct mailbox *mailbox)
{
    uint64_t one = 1;
    ssize_t size;

    do {
        size = write(mailbox->event_fd, &one, sizeof(one));
    } while (size < 0 && errno == EINTR);
    MESH_ASSERT(size == sizeof(one));
}

static void mailbox_await_signal(struct mailbox *mailbox)
{
    uint64_t count;
    ssize_t size;

    do {
        size = read(mailbox->event_fd, &count, sizeof(count));
    } while (size < 0 && errno == EINTR);
    MESH_ASSERT(size == sizeof(count));
}

void mailbox_post(struct mailbox *mailbox, struct mail *mail)
{
    struct mail *newest = atomic_load_explicit(&mailbox->newest, memory_order_relaxed);

    do {
        mail->next = newest;
    } while (!atomic_compare_exchange_weak(&mailbox->newest, &newest, mail));
    if (atomic_load(&mailbox->is_asleep) && atomic_exchange(&mailbox->is_asleep, false)) mailbox_signal(mailbox);
}

unsigned mailbox_drain(struct mailbox *mailbox)
{
    struct mail *newest = atomic_exchange(&mailbox->newest, NULL);
    struct mail *oldest = NULL;
    unsigned count = 0;

    while (newest != NULL) {
        struct mail *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest != NULL) {
        struct mail *next = oldest->next;
        oldest->deliver(oldest);
        oldest = next;
        count++;
    }
    return count;
}

bool mailbox_prepare_sleep(struct mailbox *mailbox)
{
    atomic_store(&mailbox->is_asleep, true);
    if (atomic_load(&mailbox->newest) == NULL) return true;
    mailbox_awake(mailbox);
    return false;
}

void mailbox_awake(struct mailbox *mailbox)
{
    /* Whoever takes the flag away from us also writes the eventfd, maybe a moment later: the blocking read waits for
     * that, so that the descriptor is never left readable by accident. */
    if (!atomic_exchange(&mailbox->is_asleep, false)) mailbox_await_signal(mailbox);
}

void mailbox_wait(struct mailbox *mailbox)
{
    if (mailbox_prepare_sleep(mailbox)) mailbox_await_signal(mailbox);
    mailbox_drain(mailbox);
}
