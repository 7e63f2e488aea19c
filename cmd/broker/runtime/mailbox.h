/* broker/runtime/mailbox.h - the one way across threads: many senders, one receiver, ownership moves with the mail.
 *
 * A mail is embedded in the object that travels; posting never fails and never allocates. The receiver is woken through
 * an eventfd only when it said that it sleeps, so a busy receiver costs its senders no system call. Mails of one sender
 * arrive in the order of posting. */
#ifndef BROKER_RUNTIME_MAILBOX_H
#define BROKER_RUNTIME_MAILBOX_H

#include <stdatomic.h>
#include <stdbool.h>

struct mail;

/* Runs on the receiver's thread; owns the mail (and what embeds it) from then on, and may post or free it. */
typedef void mail_fn(struct mail *mail);

struct mail {
    struct mail *next;
    mail_fn *deliver;
};

struct mailbox {
    _Atomic(struct mail *) newest; /* a stack: newest first; the receiver turns it round */
    atomic_bool is_asleep;         /* the receiver waits for event_fd, or is about to */
    int event_fd;                  /* readable when somebody woke the receiver */
};

/* Errors: MESH_ENOMEM, MESH_EIO (no descriptors). */
int mailbox_init(struct mailbox *mailbox);
void mailbox_deinit(struct mailbox *mailbox); /* undelivered mail is the owner's business */

/* Any thread. The mail belongs to the receiver as soon as this is called. */
void mailbox_post(struct mailbox *mailbox, struct mail *mail);

/* The rest: the receiver's thread only. */

/* Delivers what was posted before this call began; returns how many. */
unsigned mailbox_drain(struct mailbox *mailbox);

/* Announces that the receiver is about to sleep. false: mail is waiting, do not sleep (and nothing was announced). */
bool mailbox_prepare_sleep(struct mailbox *mailbox);

/* After mailbox_prepare_sleep() returned true, and only then: takes the announcement back, or empties the eventfd when
 * somebody has written it. */
void mailbox_awake(struct mailbox *mailbox);

/* For threads without a loop: sleeps until mail comes, then delivers it. */
void mailbox_wait(struct mailbox *mailbox);

#endif
