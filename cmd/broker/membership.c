/* broker/membership.c - see membership.h. */
#include "cmd/broker/membership.h"

#include "base/address.h"
#include "base/error.h"
#include "base/log.h"
#include "base/random.h"
#include "cmd/broker/forward/forward.h"
#include "cmd/broker/first_boot.h"
#include "cmd/broker/metadata/metadata.h"
#include "cmd/broker/operate/image_events.h"
#include "cmd/broker/peers/peers.h"
#include "cmd/broker/peers/remembered.h"
#include "cmd/broker/peers/waiting_door.h"
#include "cmd/broker/streams/streams.h"
#include "cmd/broker/runtime/control_loop.h"
#include "cmd/broker/spread/spread.h"
#include "cmd/broker/start.h"
#include "crypto/crypto.h"
#include "sasl/scram.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define MESSAGE_SIZE     512
#define PATIENCE_SECONDS 3.0 /* a broker that was a member before is ready after this, even if no coordinator answers */

/* ---- the key ---- */

static int make_key(struct broker *broker, const struct key_places *places, char *message)
{
    uint8_t bytes[CLUSTER_KEY_SIZE];
    struct cluster_key key;
    int err = key_file_place_for_new(places, broker->key_path, message, MESSAGE_SIZE);

    if (err != 0) return err;
    random_system_bytes(bytes, sizeof(bytes));
    cluster_key_init(&key, bytes);
    crypto_wipe(bytes, sizeof(bytes));
    err = keyring_install(broker->keyring, &key);
    cluster_key_wipe(&key);
    if (err == 0) err = key_file_create(broker->key_path, broker->keyring, message, MESSAGE_SIZE);
    broker->is_key_new = err == 0;
    if (err == 0) log_info("a cluster key was made: brokers that join need it path=\"%s\"", broker->key_path);
    return err == MESH_EEXISTS ? key_file_read(broker->key_path, broker->keyring, message, MESSAGE_SIZE) : err;
}

int membership_find_key(struct broker *broker, const struct broker_options *options)
{
    struct key_places places = options->key_places;
    char message[MESSAGE_SIZE] = "";
    int err;

    crypto_init();
    if (places.data_dir == NULL) places.data_dir = options->data_dir;
    broker->keyring = keyring_new();
    if (broker->keyring == NULL) return MESH_ENOMEM;
    err = key_file_find(&places, broker->key_path, message, sizeof(message));
    if (err == 0) err = key_file_read(broker->key_path, broker->keyring, message, sizeof(message));
    else if (err == MESH_ENOTFOUND && options->seed_count == 0) return 0; /* open_key() makes it, when there is nothing else in the way */
    else if (err == MESH_ENOTFOUND)
        snprintf(message, sizeof(message),
                 "joining needs the cluster key of that mesh: 'mesh key show' prints it where it is; put it in "
                 "~/.config/mesh/key (mode 0600), or name its file with --key-file");
    broker->has_key = err == 0;
    if (err != 0) log_error("no cluster key: %s", message[0] != '\0' ? message : mesh_strerror(err));
    return err;
}

static int open_key(struct broker *broker, const struct broker_options *options)
{
    struct key_places places = options->key_places;
    char message[MESSAGE_SIZE] = "";
    int err = 0;

    if (places.data_dir == NULL) places.data_dir = options->data_dir;
    if (!broker->has_key) err = make_key(broker, &places, message);
    if (err == 0)
        scram_hmac(SCRAM_SHA_256, slice_of(keyring_in_use(broker->keyring)->bytes, CLUSTER_KEY_SIZE), slice_of_string("mesh: salts of names that nobody has"),
                   broker->login_secret);
    if (err != 0) log_error("no cluster key: %s", message[0] != '\0' ? message : mesh_strerror(err));
    return err;
}

/* ---- addresses ---- */

static int resolve_advertised(struct broker *broker, const char *text)
{
    struct address address;
    struct address_sockets sockets;
    const char *reason = "", *colon = strrchr(text, ':');
    bool has_port = colon != NULL && strchr(colon, ']') == NULL;
    int err = address_parse(slice_of_string(text), &address);

    if (err == 0 && has_port && address.port == 0) err = MESH_EINVAL; /* nobody can dial it */
    if (err == 0) err = address_resolve(&address, &sockets, &reason);
    if (err == 0) err = net_address_from_sockaddr((struct sockaddr *)&sockets.sockets[0], &broker->advertise);
    if (err == 0 && net_address_is_wildcard(&broker->advertise)) {
        err = MESH_EINVAL;
        reason = "nobody can dial it";
    }
    if (err != 0) {
        log_error("cannot advertise \"%s\": %s: --advertise wants HOST or HOST:PORT, as the other brokers and clients reach this one", text,
                  reason[0] != '\0' ? reason : mesh_strerror(err));
        return err;
    }
    broker->advertise.port = has_port ? address.port : broker->port;
    free(broker->advertised_host);
    broker->advertised_host = strdup(address.host);
    return broker->advertised_host == NULL ? MESH_ENOMEM : 0;
}

int membership_find_address(struct broker *broker, const struct broker_options *options, int listen_fd)
{
    struct sockaddr_storage name;
    socklen_t size = sizeof(name);

    if (getsockname(listen_fd, (struct sockaddr *)&name, &size) != 0 ||
        net_address_from_sockaddr((struct sockaddr *)&name, &broker->listen) != 0)
        return MESH_EIO;
    return options->advertise == NULL ? 0 : resolve_advertised(broker, options->advertise);
}

/* The port that clients are told: all doors share one, so behind a forwarding it is the advertised one. */
static uint16_t client_port(const struct broker *broker)
{
    return net_address_is_none(&broker->advertise) ? broker->port : broker->advertise.port;
}

/* The disk had been set back: another boot of this identity is known to the mesh, or what it said is. Registered in a boot of its own, it keeps no place that
 * rests on what it may have forgotten. */
static int set_boot(void *user, uint32_t boot)
{
    struct broker *broker = user;
    int err = identity_set_back(broker->fs, &broker->identity, boot);

    if (err != 0) return err;
    broker->boot = broker->identity.boot;
    metadata_set_boot(broker->control.metadata, boot);
    return 0;
}

/* ---- entering a mesh ---- */

/* Where other brokers reach this one; an ip of zeros: as they see it. */
static struct net_address reachable_address(const struct broker *broker)
{
    return net_address_is_none(&broker->advertise) ? broker->listen : broker->advertise;
}

static void first_boot_options_of(const struct broker *broker, const struct broker_options *options, int listen_fd, struct first_boot_options *ret)
{
    *ret = (struct first_boot_options){
        .fs = broker->fs,
        .identity = &broker->identity,
        .address = reachable_address(broker),
        .expect = options->expect,
        .marker_path = options->founded_marker,
        .join = {.seeds = options->seeds,
                 .seed_count = options->seed_count,
                 .name_servers = options->name_servers,
                 .source = broker->listen,
                 .keyring = broker->keyring,
                 .key_path = broker->key_path,
                 .identity = &broker->identity.key,
                 .boot = (uint32_t)broker->identity.boot,
                 .listen_fd = listen_fd,
                 .progress = options->waiting,
                 .user = options->ready_user},
    };
}

/* The mesh's uuid is durable before anything is done in its name, and the log before it: a member without a log has lost one. */
static int adopt(struct broker *broker, const struct uuid *cluster_id)
{
    char message[METADATA_MESSAGE_SIZE] = "";
    int err = metadata_prepare(broker->fs, &broker->identity, message);

    if (err != 0) {
        log_error("%s", message[0] != '\0' ? message : mesh_strerror(err));
        return err;
    }
    err = identity_set_cluster(broker->fs, &broker->identity, cluster_id);
    if (err != 0) log_error("cannot write DIR/identity: %s data=\"%s\" error=\"%s\"", start_disk_cure(err), broker->data_dir, mesh_strerror(err));
    return err;
}

int membership_enter(struct broker *broker, const struct broker_options *options, int listen_fd)
{
    char message[METADATA_MESSAGE_SIZE] = "";
    struct first_boot_options first;
    bool is_renewed;
    int err = open_key(broker, options);

    if (err != 0) return err;
    err = metadata_open_identity(broker->fs, &broker->identity, message);
    if (err == 0) err = metadata_renew_if_set_back(broker->fs, &broker->identity, &is_renewed, message);
    if (err != 0) {
        log_error("%s", message);
        return err;
    }
    broker->broker_id = broker->control.broker_id = broker->identity.broker_id;
    first_boot_options_of(broker, options, listen_fd, &first);
    if (!uuid_is_zero(&broker->identity.cluster_id)) {
        err = first_boot_recall(&first, &broker->founding);
    } else {
        err = first_boot(&first, &broker->founding);
        if (err == 0) err = adopt(broker, &broker->founding.cluster);
    }
    broker->cluster_id = broker->control.cluster_id = broker->identity.cluster_id;
    broker->dir_id = broker->identity.dir_id;
    broker->boot = broker->identity.boot;
    return err;
}

/* ---- the metadata ---- */

/* The node id is known to every thread before the first image that needs it. */
static void publish(void *user, const struct image *image)
{
    struct broker *broker = user;
    const struct image_broker *self = image_find_broker_by_uuid(image, &broker->broker_id);

    if (self == NULL) return;
    if (broker->node_id != self->node_id) broker->node_id = broker->control.node_id = self->node_id;
    control_publish_image(&broker->control, image);
    image_events_see(broker->control.image_events, image);
    spread_image(broker->control.spread, image);
}

/* Consensus may find out that the disk forgot something after the broker was registered as one that forgot nothing. */
static void tell_past(struct broker *broker, const struct node_status *status)
{
    int err;

    if (status->is_set_back && broker->identity.past == IDENTITY_PAST_WHOLE && broker->control.peers != NULL) peers_begin_boot(broker->control.peers);
    if (status->is_registered) broker->is_stop_untold = false; /* the note stays for this life, until it has stopped cleanly */
    if (!status->is_registered || !identity_is_to_tell(&broker->identity)) return;
    err = identity_set_told(broker->fs, &broker->identity);
    if (err != 0) log_warn("cannot write DIR/identity: its records are trusted less again after the next start error=\"%s\"", mesh_strerror(err));
}

static void changed(void *user)
{
    struct broker *broker = user;

    tell_past(broker, metadata_status(broker->control.metadata));
    image_events_coordinator(broker->control.image_events, &metadata_status(broker->control.metadata)->coordinator);
    atomic_store(&broker->is_serving, metadata_status(broker->control.metadata)->is_serving);
    if (metadata_status(broker->control.metadata)->is_removed && broker->control_loop != NULL && broker->control.is_ready) control_loop_stop(broker);
}

static const struct metadata_hooks hooks = {publish, changed};

int membership_open_metadata(struct broker *broker, struct metadata_options *options, char message[METADATA_MESSAGE_SIZE])
{
    const struct raft_server self = {broker->identity.broker_id, broker->identity.dir_id};
    struct net_address remembered[REMEMBERED_MAX];
    size_t remembered_count = 0;
    const struct image_broker *before;
    int err;

    options->identity = &broker->identity;
    options->knows_others = broker->seed_count > 0 || (remembered_read(broker->fs, remembered, &remembered_count) == 0 && remembered_count > 0);
    options->hooks = &hooks;
    options->user = broker;
    if (founding_value_has(&broker->founding, &self)) {
        options->founders = broker->founding.founders;
        options->founder_count = broker->founding.founder_count;
    }
    options->events = &broker->control.events;
    err = metadata_open(options, &broker->control.metadata, message);
    if (err == 0) err = image_events_new(broker->control.loop, &broker->control.events, &broker->control.image_events);
    if (err != 0) return err;
    image_events_see(broker->control.image_events, metadata_image(broker->control.metadata));
    before = image_find_broker_by_uuid(metadata_image(broker->control.metadata), &broker->broker_id);
    if (before != NULL) broker->node_id = broker->control.node_id = before->node_id;
    return 0;
}

static int open_peers(struct broker *broker)
{
    const struct peers_options options = {
        .loop = broker->control.loop,
        .listen = broker->listen,
        .advertise = broker->advertise,
        .client_port = client_port(broker),
        .name = broker->name,
        .zone = broker->zone,
        .host = broker->advertised,
        .cluster_id = broker->identity.cluster_id,
        .dir_id = broker->identity.dir_id,
        .boot = (uint32_t)broker->identity.boot,
        .identity = &broker->identity.key,
        .keyring = broker->keyring,
        .key_path = broker->key_path,
        .seeds = broker->seeds,
        .seed_count = broker->seed_count,
        .name_servers = broker->name_servers,
        .fs = broker->fs,
        .events = &broker->control.events,
        .set_boot = set_boot,
        .user = broker,
    };
    int err = peers_open(&options, &broker->control.peers);

    if (err == 0) metadata_connect(broker->control.metadata, broker->control.peers);
    if (err == 0) streams_connect(&broker->control);
    return err;
}

int membership_start(struct broker *broker)
{
    const struct node_self self = {broker->name, broker->advertised, broker->zone, client_port(broker), broker->shard_count};
    int err = metadata_start(broker->control.metadata, &self);

    if (err != 0) log_error("cannot start the metadata: %s data=\"%s\" error=\"%s\"", start_disk_cure(err), broker->data_dir, mesh_strerror(err));
    return err;
}

static int meet_peers(struct broker *broker)
{
    return broker->control.peers == NULL ? open_peers(broker) : 0;
}

/* ---- catching up ---- */

static bool is_caught_up(const struct broker *broker)
{
    const struct node_status *status = metadata_status(broker->control.metadata);

    return status->is_serving || status->has_failed;
}

/* The shards do not serve the port yet, and the others may need this broker to get on. */
static void let_in(void *user, int fd, struct slice bytes)
{
    peers_adopt(((struct broker *)user)->control.peers, fd, bytes);
}

int membership_catch_up(struct broker *broker, int listen_fd, bool has_strangers)
{
    const struct node_status *status = metadata_status(broker->control.metadata);
    struct waiting_door_options options = {broker->control.loop, listen_fd, "this broker waits for the mesh's coordinator", let_in, broker};
    struct waiting_door *door;
    int err;

    if (!has_strangers && !metadata_is_behind_disk(broker->control.metadata)) return 0;
    log_warn("%s: waiting for the mesh's coordinator before anything is served",
             has_strangers ? "there are records here of topics that the metadata do not know" : "the metadata log was damaged");
    err = meet_peers(broker);
    if (err == 0) err = waiting_door_open(&options, &door);
    if (err != 0) return err;
    control_loop_wait(broker, is_caught_up);
    waiting_door_close(door);
    if (!status->has_failed) return 0;
    log_error("this broker cannot take part in the metadata of its mesh: %s", status->failure);
    return status->failure_error;
}

/* ---- the wait before a broker is ready ---- */

static bool is_registered(const struct broker *broker)
{
    const struct node_status *status = metadata_status(broker->control.metadata);

    return status->is_serving || status->has_failed || (broker->has_waited && broker->node_id != 0);
}

static void on_patience(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct broker *broker = timer->data;

    (void)loop;
    (void)events;
    broker->has_waited = true;
    if (broker->node_id != 0)
        log_warn("no coordinator has answered yet: what is stored here is read, nothing is written before it does");
    else if (broker->waiting != NULL)
        broker->waiting(broker->ready_user, "waiting for the mesh's coordinator to let this broker in",
                        "A majority of the brokers that vote must be up and reachable; 'mesh status' at another broker names them.");
}

int membership_wait(struct broker *broker)
{
    const struct node_status *status;
    ev_timer patience;
    int err = meet_peers(broker);

    if (err != 0) return err;
    forward_attach(broker->control.forward, broker->control.peers); /* there are shards to ask now */
    spread_attach(broker->control.spread, broker->control.peers);
    spread_image(broker->control.spread, metadata_image(broker->control.metadata));
    ev_timer_init(&patience, on_patience, PATIENCE_SECONDS, 0.);
    patience.data = broker;
    ev_timer_start(broker->control.loop, &patience);
    control_loop_wait(broker, is_registered);
    ev_timer_stop(broker->control.loop, &patience);
    status = metadata_status(broker->control.metadata);
    if (!status->has_failed || (broker->node_id != 0 && !status->is_removed)) return 0;
    log_error("this broker cannot take part in the metadata of its mesh: %s", status->failure);
    return status->failure_error;
}

/* ---- the end ---- */

void membership_stop(struct broker *broker)
{
    forward_detach(broker->control.forward);
    spread_detach(broker->control.spread);
    if (broker->control.metadata != NULL) metadata_connect(broker->control.metadata, NULL);
    peers_close(broker->control.peers);
    broker->control.peers = NULL;
}

void membership_close(struct broker *broker)
{
    membership_stop(broker);
    metadata_close(broker->control.metadata);
    broker->control.metadata = NULL;
}
