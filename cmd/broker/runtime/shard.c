/* broker/runtime/shard.c - making and ending a shard. */
#include "cmd/broker/runtime/shard.h"

#include "base/error.h"
#include "cmd/broker/front/accept.h"
#include "cmd/broker/front/gateway.h"
#include "cmd/broker/metadata/metadata.h"
#include "cmd/broker/runtime/partitions.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Even with many shards each must be able to receive and to answer the largest request. */
static size_t pool_share(const struct broker *broker)
{
    size_t share = broker->settings.memory_bytes_max / broker->shard_count;
    size_t least = 2 * pool_cost(broker->settings.request_bytes_max + 4096);

    return share > least ? share : least;
}

uint64_t shard_scrub_bytes_per_s(const struct broker *broker)
{
    uint64_t all = broker->settings.scrub_bytes_per_s;

    return all == 0 || all >= broker->shard_count ? all / broker->shard_count : 1;
}

static void take_settings(struct shard *shard)
{
    const struct settings *settings = &shard->broker->settings;
    struct store_options defaults;
    struct store_terms terms = {settings->disk_free_bytes_min, settings->scrub_rest_ms, shard_scrub_bytes_per_s(shard->broker)};

    shard->pool.bytes_max = pool_share(shard->broker);
    store_options_init(&defaults, NULL, 0);
    if (terms.free_bytes_min == 0) terms.free_bytes_min = defaults.free_bytes_min;
    store_set_terms(shard->store, &terms);
    shard->is_tick_wanted = true;
    connections_watch_stall(shard);
}

static void settings_arrive(struct mail *mail)
{
    struct shard *shard = container_of(mail, struct shard, settings_mail);

    atomic_store(&shard->has_settings_mail, false); /* first: what changes from here on is told anew */
    take_settings(shard);
}

void shard_tell_settings(struct shard *shard)
{
    if (atomic_exchange(&shard->has_settings_mail, true)) return; /* it will read what is there then */
    shard->settings_mail.deliver = settings_arrive;
    shard_post(shard, &shard->settings_mail);
}

static void shard_init_lists(struct shard *shard)
{
    list_init(&shard->fetches_ready);
    list_init(&shard->remote_waiting);
    list_init(&shard->acks_committing);
    list_init(&shard->acks_resting);
    histogram_init(&shard->metrics.produce_ack_ns);
    histogram_init(&shard->metrics.fetch_wait_ns);
    histogram_init(&shard->metrics.group_answer_ns);
    for (int i = 0; i < STORE_LANE_COUNT; i++)
        shard->jobs[i].shard = shard;
}

int shard_new(struct broker *broker, uint32_t index, const struct store_options *store_options, int listen_fd,
              struct shard **ret_shard)
{
    struct shard *shard = calloc(1, sizeof(*shard));
    int err = MESH_ENOMEM;

    if (shard == NULL) {
        close(listen_fd);
        return err;
    }
    shard->broker = broker;
    shard->index = index;
    shard->mailbox.event_fd = -1;
    shard->drain_error = MESH_ECANCELED;
    shard_init_lists(shard);
    connections_init(shard, listen_fd, gateway_take(broker->gateway, index));
    pool_init(&shard->pool, pool_share(broker));
    shard->loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV | EVFLAG_NOSIGMASK);
    if (shard->loop == NULL) goto fail;
    err = mailbox_init(&shard->mailbox);
    if (err != 0) goto fail;
    if (sync_queue_new(&shard->sync_queue) != 0) shard->sync_queue = NULL; /* the lane does all */
    shard_turn_init(shard);
    replicas_init(shard);
    forward_ways_init(shard);
    groups_init(shard);
    err = lobby_open(shard);
    if (err != 0) goto fail;
    err = store_open(store_options, &shard->store);
    if (err != 0) goto fail;
    store_set_clock(shard->store, shard->now_ms, shard->now_wall_ms);
    store_set_notify(shard->store, shard_on_plog_change, shard);
    shard->image = image_ref(metadata_image(broker->control.metadata));
    *ret_shard = shard;
    return 0;
fail:
    shard_free(shard);
    return err;
}

int shard_start(struct shard *shard)
{
    static const char *const lane_names[] = {"sync", "behind", "background"};
    char name[16];
    int err = accept_listen(shard);

    for (int i = 0; i < STORE_LANE_READ && err == 0; i++) {
        snprintf(name, sizeof(name), "%s-%u", lane_names[i], shard->index);
        err = lane_start(&shard->lanes[i], name);
    }
    if (err != 0) return err;
    snprintf(name, sizeof(name), "shard-%u", shard->index);
    shard->is_thread_started = true;
    if (lane_thread_start(&shard->thread, name, shard_run, shard) == 0) return 0;
    shard->is_thread_started = false;
    return MESH_ENOMEM;
}

static void on_abandon(struct mail *mail)
{
    struct shard_stop *stop = container_of(mail, struct shard_stop, mail);

    groups_stop(stop->shard); /* while there is somebody to take the answers */
    stop->shard->is_finished = true;
}

void shard_halt(struct shard *shard)
{
    if (shard == NULL) return;
    if (shard->is_thread_started) {
        shard->abandon = (struct shard_stop){.mail.deliver = on_abandon, .shard = shard};
        shard_post(shard, &shard->abandon.mail);
        pthread_join(shard->thread, NULL);
        shard->is_thread_started = false;
    }
    shard_job_settle(shard);
    for (int i = 0; i < STORE_LANE_READ; i++)
        lane_stop(&shard->lanes[i]);
}

/* Jobs whose mail nobody took: the lanes have finished them, the store must hear of it before it closes. */
static void complete_jobs(struct shard *shard)
{
    for (int i = 0; i < STORE_LANE_COUNT; i++) {
        struct store_job *job = shard->jobs[i].job;

        shard->jobs[i].job = NULL;
        if (job != NULL) store_job_complete(shard->store, job);
    }
}

void shard_free(struct shard *shard)
{
    const struct image *next;

    if (shard == NULL) return;
    shard_halt(shard);
    if (shard->loop != NULL) connections_deinit(shard);
    complete_jobs(shard);
    groups_deinit(shard);
    replicas_deinit(shard);
    forward_ways_deinit(shard);
    shard_partitions_deinit(shard);
    store_close(shard->store);
    next = atomic_exchange(&shard->next_image, NULL);
    if (next != NULL) image_unref(next);
    ack_queue_deinit(&shard->acks_synced);
    ack_queue_deinit(&shard->acks_written);
    sync_queue_free(shard->sync_queue);
    pool_trim(&shard->pool);
    buffer_deinit(&shard->scratch);
    if (shard->mailbox.event_fd >= 0) mailbox_deinit(&shard->mailbox);
    if (shard->loop != NULL) ev_loop_destroy(shard->loop);
    free(shard);
}
