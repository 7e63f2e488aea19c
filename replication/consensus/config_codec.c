/* consensus/config_codec.c - see config_codec.h. */
#include "replication/consensus/config_codec.h"

#include "base/error.h"

#include <string.h>

#define CONFIG_VERSION 1

static uint8_t *put_list(uint8_t *at, const struct raft_server *servers, uint8_t count)
{
    *at++ = count;
    for (uint8_t i = 0; i < count; i++) {
        memcpy(at, servers[i].broker.bytes, UUID_SIZE);
        memcpy(at + UUID_SIZE, servers[i].dir.bytes, UUID_SIZE);
        at += 2 * UUID_SIZE;
    }
    return at;
}

int raft_config_encode(struct buffer *to, const struct raft_config *config)
{
    uint8_t bytes[RAFT_CONFIG_BYTES_MAX], *at = bytes;

    *at++ = CONFIG_VERSION;
    at = put_list(at, config->voters, config->voter_count);
    at = put_list(at, config->old_voters, config->old_voter_count);
    at = put_list(at, config->learners, config->learner_count);
    return buffer_append(to, bytes, (size_t)(at - bytes));
}

/* False: the bytes end too early, or there are more servers than a list holds. */
static bool get_list(struct slice *bytes, struct raft_server servers[RAFT_SERVERS_MAX], uint8_t *ret_count)
{
    uint8_t count;

    if (bytes->size == 0) return false;
    count = bytes->data[0];
    if (count > RAFT_SERVERS_MAX || bytes->size - 1 < (size_t)count * 2 * UUID_SIZE) return false;
    *bytes = slice_of(bytes->data + 1, bytes->size - 1);
    for (uint8_t i = 0; i < count; i++) {
        memcpy(servers[i].broker.bytes, bytes->data, UUID_SIZE);
        memcpy(servers[i].dir.bytes, bytes->data + UUID_SIZE, UUID_SIZE);
        *bytes = slice_of(bytes->data + 2 * UUID_SIZE, bytes->size - 2 * UUID_SIZE);
    }
    *ret_count = count;
    return true;
}

int raft_config_decode(struct slice from, struct raft_config *ret_config)
{
    struct raft_config config;

    memset(&config, 0, sizeof(config));
    if (from.size == 0 || from.data[0] == 0) return MESH_ECORRUPT;
    if (from.data[0] > CONFIG_VERSION) return MESH_EVERSION;
    from = slice_of(from.data + 1, from.size - 1);
    if (!get_list(&from, config.voters, &config.voter_count) ||
        !get_list(&from, config.old_voters, &config.old_voter_count) ||
        !get_list(&from, config.learners, &config.learner_count) || from.size != 0 ||
        !raft_config_is_sound(&config))
        return MESH_ECORRUPT;
    *ret_config = config;
    return 0;
}

static bool list_has(const struct raft_server *servers, uint8_t count, const struct raft_server *server)
{
    for (uint8_t i = 0; i < count; i++) {
        if (raft_server_equal(&servers[i], server)) return true;
    }
    return false;
}

static bool list_is_sound(const struct raft_server *servers, uint8_t count)
{
    if (count > RAFT_SERVERS_MAX) return false;
    for (uint8_t i = 0; i < count; i++) {
        if (uuid_is_zero(&servers[i].broker) || list_has(servers, i, &servers[i])) return false;
    }
    return true;
}

bool raft_config_is_sound(const struct raft_config *config)
{
    if (!list_is_sound(config->voters, config->voter_count) ||
        !list_is_sound(config->old_voters, config->old_voter_count) ||
        !list_is_sound(config->learners, config->learner_count))
        return false;
    if (config->voter_count == 0) return config->old_voter_count == 0 && config->learner_count == 0;
    for (uint8_t i = 0; i < config->learner_count; i++) {
        if (list_has(config->voters, config->voter_count, &config->learners[i])) return false;
    }
    return true;
}

static bool list_equal(const struct raft_server *a, uint8_t a_count, const struct raft_server *b, uint8_t b_count)
{
    if (a_count != b_count) return false;
    for (uint8_t i = 0; i < a_count; i++) {
        if (!raft_server_equal(&a[i], &b[i])) return false;
    }
    return true;
}

bool raft_config_equal(const struct raft_config *a, const struct raft_config *b)
{
    return list_equal(a->voters, a->voter_count, b->voters, b->voter_count) &&
           list_equal(a->old_voters, a->old_voter_count, b->old_voters, b->old_voter_count) &&
           list_equal(a->learners, a->learner_count, b->learners, b->learner_count);
}
