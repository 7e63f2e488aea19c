/* broker/broker.c - the start and the end of a whole broker. */
#include "cmd/broker/broker.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "cmd/broker/budgets.h"
#include "cmd/broker/forward/forward.h"
#include "cmd/broker/front/accept.h"
#include "cmd/broker/front/gateway.h"
#include "cmd/broker/front/http/http.h"
#include "cmd/broker/front/tls.h"
#include "cmd/broker/membership.h"
#include "cmd/broker/metadata/metadata.h"
#include "cmd/broker/operate/image_events.h"
#include "cmd/broker/operate/kept_wish.h"
#include "cmd/broker/ops/fetch_wait.h"
#include "cmd/broker/ops/produce_local.h"
#include "cmd/broker/runtime/control_loop.h"
#include "cmd/broker/runtime/producer_ids.h"
#include "cmd/broker/streams/streams.h"
#include "cmd/broker/runtime/shard.h"
#include "cmd/broker/spread/spread.h"
#include "cmd/broker/runtime/status.h"
#include "cmd/broker/start.h"
#include "crypto/crypto.h"

#include <malloc.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LISTEN_DEFAULT  "127.0.0.1:9092"
#define HOST_NAME_SIZE  256
#define ADDRESS_SIZE    320

void broker_options_init(struct broker_options *options)
{
    memset(options, 0, sizeof(*options));
    settings_init(&options->settings);
}

/* ---- names and addresses ---- */

static bool is_wildcard(const char *host)
{
    return *host == '\0' || strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
}

/* What others are told. A wildcard says nothing; then the machine's name, if it resolves. */
static char *choose_advertised(const struct broker *broker)
{
    char name[HOST_NAME_SIZE];
    struct addrinfo *addresses;

    if (broker->advertised_host != NULL) return strdup(broker->advertised_host);
    if (!is_wildcard(broker->host)) return strdup(broker->host);
    if (gethostname(name, sizeof(name)) != 0 || getaddrinfo(name, NULL, NULL, &addresses) != 0)
        return strdup("127.0.0.1");
    freeaddrinfo(addresses);
    return strdup(name);
}

static char *choose_name(const struct broker *broker, const char *asked)
{
    const struct image *image = metadata_image(broker->control.metadata);
    const struct image_broker *before = image_find_broker_by_uuid(image, &broker->identity.broker_id);
    char name[HOST_NAME_SIZE];

    if (asked != NULL) return strdup(asked);
    if (before != NULL && before->name[0] != '\0') return strdup(before->name);
    return strdup(gethostname(name, sizeof(name)) == 0 ? name : "broker");
}

/* ---- opening, step by step ---- */

static int choose_names(struct broker *broker, const struct broker_options *options)
{
    broker->name = choose_name(broker, options->name);
    broker->zone = strdup(options->zone == NULL ? "" : options->zone);
    broker->advertised = choose_advertised(broker);
    if (broker->name == NULL || broker->zone == NULL || broker->advertised == NULL) return MESH_ENOMEM;
    return broker->gateway == NULL ? 0 : gateway_name(broker->gateway, broker->advertised);
}

static int open_metadata(struct broker *broker, const struct broker_options *options, const struct recovery_catalog *logs)
{
    struct metadata_options metadata_options;
    struct decide_config defaults[SETTINGS_TOPIC_DEFAULTS_MAX]; /* copied by metadata_open() */
    char message[METADATA_MESSAGE_SIZE] = "";
    int err;

    metadata_options_init(&metadata_options, broker->fs);
    metadata_options.loop = broker->control.loop;
    metadata_options.mailbox = &broker->control.mailbox;
    metadata_options.partition_count_default = (int32_t)broker->settings.topic_partitions;
    metadata_options.election_ms = (uint32_t)broker->settings.election_ms;
    for (size_t i = 0; i < broker->settings.topic_default_count; i++)
        defaults[i] = (struct decide_config){broker->settings.topic_defaults[i].key, broker->settings.topic_defaults[i].value};
    metadata_options.moves_per_broker = (uint32_t)broker->settings.moves_per_broker;
    metadata_options.replace_ms = broker->settings.moves_replace_ms;
    metadata_options.spread_quiet_ms = broker->settings.moves_spread_ms;
    metadata_options.config_defaults = defaults;
    metadata_options.config_default_count = broker->settings.topic_default_count;
    metadata_options.is_witness = options->is_witness;
    metadata_options.logs = logs;
    metadata_options.was_unclean = broker->is_stop_untold;
    metadata_options.leave_ms_max = (uint32_t)(broker->settings.stop_ms_max / 3); /* the rest is for what is in flight */
    err = membership_open_metadata(broker, &metadata_options, message);
    if (err == 0) err = choose_names(broker, options);
    if (err != 0) log_error("%s", message[0] != '\0' ? message : mesh_strerror(err));
    return err;
}

/* What `mesh drain --empty` has asked for in an earlier life. One that cannot be read is asked for again; a broker must start. */
static void take_kept_wish(struct broker *broker)
{
    bool is_emptied;
    int err = kept_wish_read(broker->fs, &is_emptied);

    if (err != 0) log_warn("cannot read whether this broker is to be emptied: if so, ask for it again file=" KEPT_WISH_PATH " error=\"%s\"", mesh_strerror(err));
    if (!is_emptied) return;
    event_note(&broker->control.events, EVENT_FENCE, LOG_LEVEL_INFO, "this broker is still being emptied, as was asked for before it started; 'mesh drain %s --undo' ends it", broker->name);
    metadata_set_empty(broker->control.metadata, true);
}

static void store_options_of(struct broker *broker, uint32_t index, uint64_t generation, struct store_options *ret)
{
    const struct settings *settings = &broker->settings;

    store_options_init(ret, broker->store_disks[index], index);
    ret->manifest_generation = generation;
    ret->memory_bytes_max = budgets_store_bytes(settings, &broker->machine, broker->shard_count) / broker->shard_count;
    if (settings->journal_bytes_max > 0) ret->journal_bytes_max = settings->journal_bytes_max / broker->shard_count;
    if (settings->disk_free_bytes_min > 0) ret->free_bytes_min = settings->disk_free_bytes_min;
    ret->scrub_first_ms = settings->scrub_first_ms;
    ret->scrub_rest_ms = settings->scrub_rest_ms;
    ret->scrub_bytes_per_s = shard_scrub_bytes_per_s(broker);
    broker->control.disk_free_bytes_min = ret->free_bytes_min;
}

static void close_all(const int *fds, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        close(fds[i]);
}

/* Takes listen_fds. */
static int open_shards(struct broker *broker, int *listen_fds, uint64_t generation)
{
    int err = 0;

    for (uint32_t i = 0; i < broker->shard_count; i++) {
        struct store_options options;

        if (err != 0) {
            close(listen_fds[i]);
            continue;
        }
        err = fs_real_new(broker->data_dir, &broker->store_disks[i]);
        if (err != 0) {
            close(listen_fds[i]);
        } else {
            store_options_of(broker, i, generation, &options);
            err = shard_new(broker, i, &options, listen_fds[i], &broker->shards[i]);
        }
        if (err != 0) log_error("cannot open the store: %s data=\"%s\" shard=%u error=\"%s\"", start_disk_cure(err), broker->data_dir, i, mesh_strerror(err));
    }
    return err;
}

static void stop_by_request(struct control *control)
{
    control_loop_stop(container_of(control, struct broker, control));
}

static int open_tls(struct broker *broker)
{
    char message[TLS_MESSAGE_SIZE] = "out of memory";
    int err = tls_open(&broker->settings, broker->control.loop, &broker->tls, message);

    if (err != 0) log_error("no TLS: %s", message);
    return err;
}

static int open_control(struct broker *broker)
{
    struct control *control = &broker->control;
    struct http_options http_options;
    struct http_source source;
    int err;

    control->settings = &broker->settings;
    control->shards = broker->shards;
    control->shard_count = broker->shard_count;
    control->name = broker->name;
    control->zone = broker->zone;
    control->data_dir = broker->data_dir;
    control->host = broker->advertised;
    control->port = broker->port;
    control->started_ms = clock_monotonic_ms();
    control->stop = stop_by_request;
    control->producer_ids = producer_ids_new(control);
    if (control->producer_ids == NULL) return MESH_ENOMEM;
    http_options_init(&http_options);
    status_http_source(control, &source);
    err = http_server_new(control->loop, &http_options, &source, &control->http);
    if (err == 0) err = spread_open(control, &control->spread);
    if (err == 0) err = open_tls(broker);
    if (err == 0) err = lane_start(&broker->login_lane, "login");
    return err != 0 ? err : lane_start(&broker->read_lane, "read");
}

/* Not on a full disk, where the stores' own marks have to do: reading goes on there. */
static void note_life(struct broker *broker)
{
    int err = recovery_note_life(broker->fs);

    if (err != 0) log_warn("cannot note that a life begins: after a crash the next start may take it for a clean stop data=%s error=\"%s\"", broker->data_dir, mesh_strerror(err));
}

/* The end of it: everything is synced. What an earlier life left untold stays so. */
static void note_end(struct broker *broker)
{
    int err = broker->is_stop_untold ? 0 : recovery_told(broker->fs);

    if (err != 0) log_warn("cannot note that this stop was clean: the next start takes it for a crash data=%s error=\"%s\"", broker->data_dir, mesh_strerror(err));
}

/* Takes listen_fds. */
static int open_stores(struct broker *broker, const struct broker_options *options, int *listen_fds)
{
    struct recovery_catalog *catalog = NULL;
    struct recovery_report report;
    int err = start_recover(broker, &catalog, &report);

    broker->is_stop_untold = err == 0 && report.is_untold;
    if (err == 0) note_life(broker);
    if (err == 0) err = open_metadata(broker, options, catalog);
    if (err == 0) take_kept_wish(broker);
    if (err == 0) err = membership_start(broker);
    if (err == 0) err = membership_catch_up(broker, listen_fds[0], start_has_strangers(broker, catalog));
    if (err != 0) {
        close_all(listen_fds, broker->shard_count);
    } else {
        err = open_shards(broker, listen_fds, report.generation + 1);
        if (err == 0) err = start_open_logs(broker, catalog);
    }
    recovery_catalog_free(catalog);
    return err;
}

/* From the bound sockets on. Takes listen_fds. */
static int open_bound(struct broker *broker, const struct broker_options *options, int *listen_fds)
{
    int err = control_loop_open(broker);

    if (err == 0) err = forward_open(&broker->control, &broker->control.forward);
    if (err == 0) err = streams_new(&broker->control, &broker->control.streams);
    if (err == 0) err = membership_enter(broker, options, listen_fds[0]);
    if (err != 0) {
        close_all(listen_fds, broker->shard_count);
        return err;
    }
    err = open_stores(broker, options, listen_fds);
    return err != 0 ? err : open_control(broker);
}

static void tell_limits(const struct broker *broker)
{
    if (!broker->machine.is_memory_limited && !broker->machine.is_cores_limited) return;
    log_info("the control group has less than the machine: memory and shards go by it, unless they are set memory_bytes=%llu cores=%u shards=%u",
             (unsigned long long)broker->machine.memory_bytes, broker->machine.cores, broker->shard_count);
}

static int broker_init(struct broker *broker, const struct broker_options *options)
{
    broker->settings = options->settings;
    broker->data_dir = options->data_dir;
    broker->seeds = options->seeds;
    broker->seed_count = options->seed_count;
    broker->name_servers = options->name_servers;
    broker->waiting = options->waiting;
    broker->notify = options->notify;
    broker->ready = options->ready;
    broker->ready_user = options->ready_user;
    machine_share_find("", &broker->machine);
    broker->shard_count = options->shard_count > 0 ? options->shard_count : budgets_shard_count(&broker->machine, BROKER_SHARDS_MAX);
    if (options->data_dir == NULL || broker->shard_count > BROKER_SHARDS_MAX) {
        log_error(options->data_dir == NULL ? "a broker needs a data directory: --data DIR" : "too many shards");
        return MESH_EINVAL;
    }
    tell_limits(broker);
    budgets_lower(&broker->settings, &broker->machine);
    broker->live.at_start = broker->settings;
    broker->settings.connections_max = start_raise_descriptors(broker->settings.connections_max);
    broker->shards = calloc(broker->shard_count, sizeof(struct shard *));
    broker->store_disks = calloc(broker->shard_count, sizeof(struct fs *));
    return broker->shards == NULL || broker->store_disks == NULL ? MESH_ENOMEM : 0;
}

int broker_open(const struct broker_options *options, struct broker **ret_broker)
{
    struct broker *broker = calloc(1, sizeof(*broker));
    int listen_fds[BROKER_SHARDS_MAX];
    char message[ACCEPT_MESSAGE_SIZE];
    int err = MESH_ENOMEM;

    if (broker == NULL) return err;
    err = broker_init(broker, options);
    if (err == 0) err = start_check_topic_defaults(broker);
    if (err == 0) err = start_check_tls(broker);
    if (err == 0) err = start_check_clock(clock_wall_ms());
    if (err == 0) err = membership_find_key(broker, options);
    if (err != 0) goto fail;
    err = accept_bind(options->listen == NULL ? LISTEN_DEFAULT : options->listen, broker->shard_count, listen_fds,
                      &broker->host, &broker->port, message);
    if (err != 0) {
        log_error("%s", message);
        goto fail;
    }
    err = membership_find_address(broker, options, listen_fds[0]);
    if (err == 0) err = gateway_open(options, broker->shard_count, listen_fds[0], &broker->gateway);
    if (err == 0) err = start_data_dir(broker); /* from here on something is written: whatever can be refused before was */
    if (err == 0) err = live_settings_open(broker);
    if (err != 0) {
        close_all(listen_fds, broker->shard_count);
        goto fail;
    }
    err = open_bound(broker, options, listen_fds);
    if (err != 0) goto fail;
    *ret_broker = broker;
    return 0;
fail:
    broker_free(broker);
    return err;
}

/* No thread runs any more, and requests may be under way between shards, which must therefore all be there still: closed
 * connections cancel what they asked of others, acknowledgements go home, until nobody has mail. */
static void abandon_requests(struct broker *broker)
{
    unsigned delivered;

    do {
        delivered = 0;
        for (uint32_t i = 0; i < broker->shard_count; i++) {
            struct shard *shard = broker->shards[i];

            if (shard == NULL || shard->loop == NULL) continue;
            connections_close_all(shard);
            forward_ways_close(shard);
            produce_abandon(shard);
            shard->is_stopping = true;
            fetch_stop_waiting(shard); /* those of other brokers */
            delivered += mailbox_drain(&shard->mailbox);
        }
        delivered += forward_drain(broker->control.forward);
    } while (delivered > 0);
}

void broker_free(struct broker *broker)
{
    if (broker == NULL) return;
    broker->is_ending = true;
    for (uint32_t i = 0; broker->shards != NULL && i < broker->shard_count; i++)
        shard_halt(broker->shards[i]);
    lane_stop(&broker->read_lane);
    lane_stop(&broker->login_lane);
    tls_close(broker->tls);
    membership_close(broker);
    http_server_free(broker->control.http);
    if (broker->shards != NULL) abandon_requests(broker);
    for (uint32_t i = 0; broker->shards != NULL && i < broker->shard_count; i++)
        shard_free(broker->shards[i]);
    free(broker->shards);
    spread_free(broker->control.spread);
    image_events_free(broker->control.image_events);
    forward_free(broker->control.forward);
    streams_free(broker->control.streams);
    producer_ids_free(broker->control.producer_ids);
    control_loop_close(broker);
    for (uint32_t i = 0; broker->store_disks != NULL && i < broker->shard_count; i++)
        if (broker->store_disks[i] != NULL) broker->store_disks[i]->ops->free(broker->store_disks[i]);
    free(broker->store_disks);
    if (broker->fs != NULL) broker->fs->ops->free(broker->fs);
    keyring_free(broker->keyring);
    crypto_wipe(broker->login_secret, sizeof(broker->login_secret));
    identity_key_wipe(&broker->identity.key);
    free(broker->name);
    free(broker->zone);
    free(broker->host);
    gateway_free(broker->gateway);
    free(broker->advertised);
    free(broker->advertised_host);
    events_deinit(&broker->control.events);
    free(broker);
}

/* ---- serving ---- */

static const char *format_address(const char *host, uint16_t port, char to[ADDRESS_SIZE])
{
    snprintf(to, ADDRESS_SIZE, strchr(host, ':') != NULL ? "[%s]:%u" : "%s:%u", host, port);
    return to;
}

static void announce(struct broker *broker)
{
    const char *host = is_wildcard(broker->host) ? "127.0.0.1" : broker->host;
    char address[ADDRESS_SIZE], gateway[ADDRESS_SIZE];
    struct broker_ready ready;

    format_address(host, broker->port, address);
    ready = (struct broker_ready){address,           host,         broker->port, broker->cluster_id,
                                  broker->broker_id, broker->name, NULL,         broker->keyring, NULL};
    if (broker->gateway != NULL) ready.gateway = format_address(broker->gateway->host, broker->gateway->port, gateway);
    if (broker->is_key_new) ready.new_key_path = broker->key_path;
    start_write_ready(broker, &ready);
    event_note(&broker->control.events, EVENT_BROKER, LOG_LEVEL_INFO, "started name=%s address=%s version=%s boot=%llu", broker->name, address, BROKER_VERSION,
               (unsigned long long)broker->boot);
    if (broker->ready != NULL) broker->ready(broker->ready_user, &ready);
    if (broker->notify != NULL) notify_ready(broker->notify, broker->control.loop, address);
}

int broker_serve(struct broker *broker)
{
    bool is_removed;
    int err = 0;

    for (uint32_t i = 0; i < broker->shard_count && err == 0; i++)
        err = shard_start(broker->shards[i]);
    if (err != 0) {
        log_error("cannot start the shards' threads error=\"%s\"", mesh_strerror(err));
        return err;
    }
    err = membership_wait(broker);
    if (err != 0) return err; /* its threads are stopped by broker_free() */
    if (!broker->control.is_stopping) {
        broker->control.is_ready = true;
        atomic_store(&broker->judges_logins, true);
        malloc_trim(0); /* what recovery and the first image needed lies between what stays: with many logs a megabyte and more */
        announce(broker);
    }
    err = control_loop_run(broker);
    is_removed = metadata_status(broker->control.metadata)->is_removed;
    membership_stop(broker);
    if (err != MESH_ETIMEDOUT) start_remove_ready(broker); /* a disk that hangs would have us wait here */
    if (err != 0)
        log_error("stopped, but not everything could be synced: the next start will recover error=\"%s\"",
                  mesh_strerror(err));
    else
        note_end(broker);
    if (err == 0) log_info("stopped: everything is synced");
    if (err == 0 && is_removed) err = MESH_EUNAUTHORIZED;
    return err;
}

static void on_stop_mail(struct mail *mail)
{
    control_loop_stop(container_of(mail, struct broker, stop_mail));
}

void broker_stop(struct broker *broker)
{
    if (atomic_exchange(&broker->is_stop_posted, true)) return;
    broker->stop_mail.deliver = on_stop_mail;
    mailbox_post(&broker->control.mailbox, &broker->stop_mail);
}

/* ---- the process ---- */

static void on_signal(struct ev_loop *loop, ev_signal *signal_watcher, int events)
{
    struct broker *broker = signal_watcher->data;

    (void)loop;
    (void)events;
    if (broker->control.is_stopping) {
        log_error("stopped at once by a second signal: the next start will recover");
        _exit(1);
    }
    control_loop_stop(broker);
}

static void on_reload(struct ev_loop *loop, ev_signal *signal_watcher, int events)
{
    (void)loop;
    (void)events;
    tls_reload(((struct broker *)signal_watcher->data)->tls);
}

/* What broker_run() does beside what its caller asked for. */
struct run {
    const struct broker_options *options;
    struct notify notify;
};

static void run_on_waiting(void *user, const char *what, const char *cure)
{
    struct run *run = user;

    notify_waiting(&run->notify, what);
    if (run->options->waiting != NULL) run->options->waiting(run->options->ready_user, what, cure);
}

static void run_on_ready(void *user, const struct broker_ready *ready)
{
    const struct broker_options *options = ((struct run *)user)->options;
    char cluster[UUID_STRING_SIZE], broker[UUID_STRING_SIZE];

    uuid_format(&ready->cluster_id, cluster);
    uuid_format(&ready->broker_id, broker);
    if (options->opened != NULL) options->opened(options->ready_user, ready);
    if (log_get_format() == LOG_FORMAT_TEXT)
        fprintf(stderr, "mesh: ready on %s cluster=%s broker=%s%s%s\n", ready->address, cluster, broker, ready->gateway == NULL ? "" : " gateway=",
                ready->gateway == NULL ? "" : ready->gateway);
    else /* who reads the log by program reads this, too */
        log_info("ready address=%s cluster=%s broker=%s%s%s", ready->address, cluster, broker, ready->gateway == NULL ? "" : " gateway=",
                 ready->gateway == NULL ? "" : ready->gateway);
    if (options->ready != NULL) options->ready(options->ready_user, ready);
}

int broker_run(const struct broker_options *options)
{
    struct broker_options run_options = *options;
    struct run run = {.options = options};
    ev_signal watchers[2], reload;
    static const int signals[2] = {SIGTERM, SIGINT};
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct broker *broker;
    int err;

    /* Arenas per thread would cost an idle broker most of its memory; large buffers are to go back to the system. */
    mallopt(M_ARENA_MAX, 2);
    mallopt(M_MMAP_THRESHOLD, 128 << 10);
    sigaction(SIGPIPE, &ignore, NULL); /* a peer that went away is an error of send(2), not the end of us */
    run_options.ready = run_on_ready;
    run_options.ready_user = &run;
    run_options.waiting = run_on_waiting;
    run_options.notify = &run.notify;
    notify_open(&run.notify);
    err = broker_open(&run_options, &broker);
    if (err != 0) {
        notify_close(&run.notify);
        return err;
    }
    for (int i = 0; i < 2; i++) {
        ev_signal_init(&watchers[i], on_signal, signals[i]);
        watchers[i].data = broker;
        ev_signal_start(broker->control.loop, &watchers[i]);
    }
    ev_signal_init(&reload, on_reload, SIGHUP);
    reload.data = broker;
    if (broker->tls != NULL) ev_signal_start(broker->control.loop, &reload); /* otherwise it ends a broker, as ever */
    err = broker_serve(broker);
    if (err == MESH_ETIMEDOUT) _exit(1); /* threads wait for the disk, perhaps for ever */
    for (int i = 0; i < 2; i++)
        ev_signal_stop(broker->control.loop, &watchers[i]);
    ev_signal_stop(broker->control.loop, &reload);
    notify_close(&run.notify);
    broker_free(broker);
    return err;
}
