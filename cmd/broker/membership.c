/* broker/membership.c - see membership.h. */
#include "cmd/broker/membership.h"

#include "base/address.h"
#include "base/error.h"
#include "base/log.h"
#include "base/random.h"
#include "cmd/broker/forward/forward.h"
#include "cmd/broker/peers/peers.h"
#include "crypto/crypto.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE_SIZE 512

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
    if (err == 0) log_info("a cluster key was made: brokers that join need it path=%s", broker->key_path);
    return err == MESH_EEXISTS ? key_file_read(broker->key_path, broker->keyring, message, MESSAGE_SIZE) : err;
}

int membership_open_key(struct broker *broker, const struct broker_options *options)
{
    struct key_places places = options->key_places;
    char message[MESSAGE_SIZE] = "";
    int err;

    crypto_init();
    if (places.data_dir == NULL) places.data_dir = options->data_dir;
    broker->keyring = keyring_new();
    if (broker->keyring == NULL) return MESH_ENOMEM;
    err = key_file_find(&places, broker->key_path, message, sizeof(message));
    if (err == 0)
        err = key_file_read(broker->key_path, broker->keyring, message, sizeof(message));
    else if (err == MESH_ENOTFOUND && options->seed_count == 0)
        err = make_key(broker, &places, message);
    else if (err == MESH_ENOTFOUND)
        snprintf(message, sizeof(message),
                 "joining needs the cluster key of that mesh: 'mesh key show' prints it where it is; put it in "
                 "~/.config/mesh/key (mode 0600), or name its file with --key-file");
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
    if (err != 0) {
        log_error("cannot advertise \"%s\": %s", text, reason[0] != '\0' ? reason : "write HOST or HOST:PORT");
        return err;
    }
    broker->advertise.port = has_port ? address.port : broker->port;
    free(broker->advertised_host);
    broker->advertised_host = strdup(address.host);
    return broker->advertised_host == NULL ? MESH_ENOMEM : 0;
}

int membership_set_address(struct broker *broker, const struct broker_options *options, int listen_fd)
{
    struct sockaddr_storage name;
    socklen_t size = sizeof(name);

    if (getsockname(listen_fd, (struct sockaddr *)&name, &size) != 0 ||
        net_address_from_sockaddr((struct sockaddr *)&name, &broker->listen) != 0)
        return MESH_EIO;
    return options->advertise == NULL ? 0 : resolve_advertised(broker, options->advertise);
}

uint16_t membership_client_port(const struct broker *broker)
{
    return net_address_is_none(&broker->advertise) ? broker->port : broker->advertise.port;
}

/* ---- joining ---- */

int membership_join(struct broker *broker, const struct broker_options *options, struct uuid *ret_cluster_id)
{
    const struct join_options join = {
        .seeds = options->seeds,
        .seed_count = options->seed_count,
        .name_servers = options->name_servers,
        .source = broker->listen,
        .keyring = broker->keyring,
        .key_path = broker->key_path,
        .identity = &broker->identity.key,
        .boot = (uint32_t)broker->identity.boot,
        .progress = options->waiting,
        .user = options->ready_user,
    };
    struct explanation explanation;
    char cluster[UUID_STRING_SIZE];
    int err;

    *ret_cluster_id = (struct uuid){{0}};
    if (!uuid_is_zero(&broker->identity.cluster_id) || options->seed_count == 0) return 0;
    err = join_find_cluster(&join, ret_cluster_id, &explanation);
    if (err == 0)
        log_info("joining cluster=%s", uuid_format(ret_cluster_id, cluster));
    else if (err == MESH_EUNAUTHORIZED)
        log_error("cannot join: %s. %s", explanation.what, explanation.cure);
    else
        log_error("cannot join error=\"%s\"", mesh_strerror(err));
    return err;
}

/* ---- being a member ---- */

/* What the metadata log says of this boot stays behind until the next start registers anew. */
static int set_boot(void *user, uint32_t boot)
{
    struct broker *broker = user;

    return identity_set_boot(broker->fs, &broker->identity, boot);
}

int membership_start(struct broker *broker)
{
    const struct peers_options options = {
        .loop = broker->control.loop,
        .listen = broker->listen,
        .advertise = broker->advertise,
        .client_port = membership_client_port(broker),
        .name = broker->name,
        .zone = broker->zone,
        .host = broker->advertised,
        .cluster_id = broker->cluster_id,
        .dir_id = broker->identity.dir_id,
        .boot = (uint32_t)broker->identity.boot,
        .identity = &broker->identity.key,
        .keyring = broker->keyring,
        .key_path = broker->key_path,
        .seeds = broker->seeds,
        .seed_count = broker->seed_count,
        .name_servers = broker->name_servers,
        .fs = broker->fs,
        .set_boot = set_boot,
        .user = broker,
    };

    int err = peers_open(&options, &broker->control.peers);

    if (err == 0) forward_attach(broker->control.forward, broker->control.peers);
    return err;
}

void membership_stop(struct broker *broker)
{
    forward_detach(broker->control.forward);
    peers_close(broker->control.peers);
    broker->control.peers = NULL;
}
