/* Mail from many threads arrives once each, in the order of each sender, and never leaves the receiver asleep. */
#include "base/list.h"
#include "cmd/broker/runtime/lane.h"
#include "cmd/broker/runtime/mailbox.h"
#include "support/run_suite.h"

#include <check.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>

#define SENDERS          4
#define MAILS_PER_SENDER 20000

struct numbered {
    struct mail mail;
    int sender, number;
};

struct sender {
    struct mailbox *mailbox;
    struct numbered *mails;
};

static int next_number[SENDERS];
static int received;

static void on_numbered(struct mail *mail)
{
    struct numbered *numbered = container_of(mail, struct numbered, mail);

    ck_assert_int_eq(numbered->number, next_number[numbered->sender]);
    next_number[numbered->sender]++;
    received++;
}

static void *send_all(void *user)
{
    struct sender *sender = user;

    for (int i = 0; i < MAILS_PER_SENDER; i++)
        mailbox_post(sender->mailbox, &sender->mails[i].mail);
    return NULL;
}

START_TEST(every_mail_arrives_in_its_senders_order)
{
    struct numbered *mails = calloc(SENDERS * MAILS_PER_SENDER, sizeof(*mails));
    struct sender senders[SENDERS];
    pthread_t threads[SENDERS];
    struct mailbox mailbox;

    ck_assert_int_eq(mailbox_init(&mailbox), 0);
    for (int i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){&mailbox, mails + (size_t)i * MAILS_PER_SENDER};
        for (int j = 0; j < MAILS_PER_SENDER; j++)
            senders[i].mails[j] = (struct numbered){{NULL, on_numbered}, i, j};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, send_all, &senders[i]), 0);
    }
    /* Sleeps for real between deliveries: a lost wake-up would hang here. */
    while (received < SENDERS * MAILS_PER_SENDER)
        mailbox_wait(&mailbox);
    for (int i = 0; i < SENDERS; i++)
        pthread_join(threads[i], NULL);
    mailbox_deinit(&mailbox);
    free(mails);
}
END_TEST

static int delivered;

static void on_counted(struct mail *mail)
{
    (void)mail;
    delivered++;
}

static bool is_readable(int fd)
{
    struct pollfd pollfd = {.fd = fd, .events = POLLIN};

    return poll(&pollfd, 1, 0) == 1;
}

START_TEST(a_busy_receiver_costs_its_senders_no_wake_up)
{
    struct mail mail = {NULL, on_counted};
    struct mailbox mailbox;

    ck_assert_int_eq(mailbox_init(&mailbox), 0);
    mailbox_post(&mailbox, &mail);
    ck_assert(!is_readable(mailbox.event_fd));
    ck_assert(!mailbox_prepare_sleep(&mailbox)); /* mail is waiting */
    ck_assert_uint_eq(mailbox_drain(&mailbox), 1);
    ck_assert_uint_eq(mailbox_drain(&mailbox), 0);
    ck_assert_int_eq(delivered, 1);
    mailbox_deinit(&mailbox);
}
END_TEST

START_TEST(a_sleeping_receiver_is_woken_once)
{
    struct mail mails[2] = {{NULL, on_counted}, {NULL, on_counted}};
    struct mailbox mailbox;

    ck_assert_int_eq(mailbox_init(&mailbox), 0);
    ck_assert(mailbox_prepare_sleep(&mailbox));
    mailbox_post(&mailbox, &mails[0]);
    ck_assert(is_readable(mailbox.event_fd));
    mailbox_post(&mailbox, &mails[1]);
    mailbox_awake(&mailbox);
    ck_assert(!is_readable(mailbox.event_fd));
    ck_assert_uint_eq(mailbox_drain(&mailbox), 2);
    ck_assert(mailbox_prepare_sleep(&mailbox)); /* nobody wrote: taking it back leaves nothing behind */
    mailbox_awake(&mailbox);
    ck_assert(!is_readable(mailbox.event_fd));
    mailbox_deinit(&mailbox);
}
END_TEST

struct job {
    struct mail mail;
    struct mailbox *reply_to;
    pthread_t worker;
};

static void on_reply(struct mail *mail)
{
    (void)mail;
    received++;
}

static void on_job(struct mail *mail)
{
    struct job *job = container_of(mail, struct job, mail);

    job->worker = pthread_self();
    job->mail.deliver = on_reply;
    mailbox_post(job->reply_to, &job->mail);
}

START_TEST(a_lane_runs_jobs_on_its_own_thread_and_finishes_them_before_it_stops)
{
    struct job jobs[3];
    struct mailbox mailbox;
    struct lane lane = {0};

    ck_assert_int_eq(mailbox_init(&mailbox), 0);
    ck_assert_int_eq(lane_start(&lane, "test"), 0);
    for (int i = 0; i < 3; i++) {
        jobs[i] = (struct job){.mail = {NULL, on_job}, .reply_to = &mailbox};
        lane_post(&lane, &jobs[i].mail);
    }
    lane_stop(&lane);
    ck_assert_uint_eq(mailbox_drain(&mailbox), 3);
    ck_assert_int_eq(received, 3);
    for (int i = 0; i < 3; i++)
        ck_assert(!pthread_equal(jobs[i].worker, pthread_self()));
    lane_stop(&lane);
    mailbox_deinit(&mailbox);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mailbox");
    TCase *tcase = tcase_create("mailbox");

    tcase_add_test(tcase, every_mail_arrives_in_its_senders_order);
    tcase_add_test(tcase, a_busy_receiver_costs_its_senders_no_wake_up);
    tcase_add_test(tcase, a_sleeping_receiver_is_woken_once);
    tcase_add_test(tcase, a_lane_runs_jobs_on_its_own_thread_and_finishes_them_before_it_stops);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
