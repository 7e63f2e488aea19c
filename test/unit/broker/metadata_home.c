#include "metadata_home.h"

#include "base/error.h"
#include "base/random.h"

#include <stdio.h>

static void on_publish(void *user, const struct image *image)
{
    struct metadata_home *home = user;

    home->published = image_applied_index(image);
    home->publications++;
}

static const struct metadata_hooks hooks = {on_publish, NULL};

static void on_mailbox(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop;
    (void)io;
    (void)events;
}

static void run_once(struct metadata_home *home)
{
    bool is_announced = mailbox_prepare_sleep(&home->mailbox);
    ev_io io;

    ev_io_init(&io, on_mailbox, home->mailbox.event_fd, EV_READ);
    ev_io_start(home->loop, &io);
    ev_run(home->loop, is_announced ? EVRUN_ONCE : EVRUN_NOWAIT);
    ev_io_stop(home->loop, &io);
    if (is_announced) mailbox_awake(&home->mailbox);
    mailbox_drain(&home->mailbox);
}

int metadata_home_open(struct metadata_home *home, struct fs *fs, metadata_home_tune_fn *tune)
{
    struct metadata_options options;
    struct uuid cluster_id;
    struct raft_server self;
    uint8_t random[UUID_SIZE];
    int err;

    *home = (struct metadata_home){.mailbox.event_fd = -1};
    home->loop = ev_loop_new(EVFLAG_NOENV); /* no assertions in here: they allocate, which may be what is to fail */
    if (home->loop == NULL || mailbox_init(&home->mailbox) != 0) {
        snprintf(home->message, sizeof(home->message), "no memory for a loop");
        return MESH_ENOMEM;
    }
    err = metadata_open_identity(fs, &home->identity, home->message);
    if (err != 0) return err;
    self = (struct raft_server){home->identity.broker_id, home->identity.dir_id};
    metadata_options_init(&options, fs);
    options.loop = home->loop;
    options.mailbox = &home->mailbox;
    options.identity = &home->identity;
    options.hooks = &hooks;
    options.user = home;
    options.founders = &self;
    options.founder_count = 1;
    if (uuid_is_zero(&home->identity.cluster_id)) {
        random_system_bytes(random, sizeof(random));
        cluster_id = uuid_from_random(random);
        err = metadata_prepare(fs, &home->identity, home->message);
        if (err == 0) err = identity_set_cluster(fs, &home->identity, &cluster_id);
        if (err != 0) return err;
    }
    if (tune != NULL) tune(&options);
    return metadata_open(&options, &home->metadata, home->message);
}

int metadata_home_start(struct metadata_home *home)
{
    const struct node_self self = {"one", "127.0.0.1", "", 9092, 2};
    const struct node_status *status = metadata_status(home->metadata);
    int err = metadata_start(home->metadata, &self);

    if (err != 0) return err;
    while (!status->is_serving && !status->has_failed)
        run_once(home);
    return status->has_failed ? status->failure_error : 0;
}

void metadata_home_run(struct metadata_home *home, const int *count, int wanted)
{
    while (*count < wanted)
        run_once(home);
}

void metadata_home_close(struct metadata_home *home)
{
    metadata_close(home->metadata);
    mailbox_deinit(&home->mailbox);
    if (home->loop != NULL) ev_loop_destroy(home->loop);
    identity_key_wipe(&home->identity.key);
}

/* ---- requests ---- */

static void on_topic(void *user, int error, const char *message, const struct image_topic *topic)
{
    struct metadata_answer *answer = user;

    answer->count++;
    answer->error = error;
    snprintf(answer->message, sizeof(answer->message), "%s", message);
    if (topic == NULL) return;
    answer->topic_id = topic->topic_id;
    answer->partition_count = topic->partition_count;
}

static void on_ids(void *user, int error, int64_t first, uint32_t count)
{
    struct metadata_answer *answer = user;

    answer->count++;
    answer->error = error;
    answer->first = first;
    answer->partition_count = count;
}

int metadata_home_create_as(struct metadata_home *home, const struct message_topic_create *request, struct metadata_answer *ret_answer)
{
    *ret_answer = (struct metadata_answer){0};
    metadata_topic_create(home->metadata, request, on_topic, ret_answer);
    metadata_home_run(home, &ret_answer->count, 1);
    return ret_answer->error;
}

int metadata_home_create(struct metadata_home *home, const char *name, int32_t partitions, struct metadata_answer *ret_answer)
{
    struct message_topic_create request = {.name = (char *)(uintptr_t)name, .partition_count = partitions};

    return metadata_home_create_as(home, &request, ret_answer);
}

int metadata_home_alter(struct metadata_home *home, const struct message_topic_alter *request, struct metadata_answer *ret_answer)
{
    *ret_answer = (struct metadata_answer){0};
    metadata_topic_alter(home->metadata, request, on_topic, ret_answer);
    metadata_home_run(home, &ret_answer->count, 1);
    return ret_answer->error;
}

int metadata_home_delete(struct metadata_home *home, const char *name, struct metadata_answer *ret_answer)
{
    struct message_topic_delete request = {.name = (char *)(uintptr_t)name};

    *ret_answer = (struct metadata_answer){0};
    metadata_topic_delete(home->metadata, &request, on_topic, ret_answer);
    metadata_home_run(home, &ret_answer->count, 1);
    return ret_answer->error;
}

int metadata_home_ids(struct metadata_home *home, uint32_t count, struct metadata_answer *ret_answer)
{
    *ret_answer = (struct metadata_answer){0};
    metadata_allocate_producer_ids(home->metadata, count, on_ids, ret_answer);
    metadata_home_run(home, &ret_answer->count, 1);
    return ret_answer->error;
}
