/* peers/members.c - the member table in the words of the native protocol. */
#include "cmd/broker/peers/peers_internal.h"

#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t since_ms(uint64_t now_us, uint64_t then_us)
{
    return now_us > then_us ? (now_us - then_us) / 1000 : 0;
}

static int describe(const struct peers *peers, const struct gossip_member *member, struct arena *arena,
                    struct message_member *to)
{
    char address[NET_ADDRESS_STRING_SIZE];
    uint64_t now_us = peers_now_us();

    *to = (struct message_member){
        .broker_id = member->self.id,
        .name = arena_strdup(arena, member->self.name),
        .host = arena_strdup(arena, member->self.host),
        .zone = arena_strdup(arena, member->self.zone),
        .address = arena_strdup(arena, net_address_format(&member->self.address, address)),
        .port = member->self.client_port,
        .state = member->state,
        .rtt_us = member->rtt_us,
        .incarnation = member->self.incarnation,
        .state_ms = since_ms(now_us, member->changed_us),
        .heard_ms = member->heard_us == 0 ? -1 : (int64_t)since_ms(now_us, member->heard_us),
        .is_self = member->is_self,
        .is_udp_blocked = member->is_udp_blocked || (member->is_self && peers->udp == NULL),
    };
    return to->name == NULL || to->host == NULL || to->zone == NULL || to->address == NULL ? MESH_ENOMEM : 0;
}

int peers_member_state(const struct peers *peers, const struct uuid *broker_id)
{
    const struct gossip_member *member = gossip_find(peers->gossip, broker_id);

    return member == NULL ? -1 : (int)member->state;
}

void peers_dead_names(const struct peers *peers, char *to, size_t size)
{
    size_t used = 0;

    to[0] = '\0';
    for (size_t i = 0; i < gossip_member_count(peers->gossip); i++) {
        const struct gossip_member *member = gossip_member_at(peers->gossip, i);

        if (member->state != GOSSIP_DEAD) continue;
        if (used + strlen(member->self.name) + 8 > size) {
            snprintf(to + used, size - used, ", ...");
            return;
        }
        used += (size_t)snprintf(to + used, size - used, "%s%s", used == 0 ? "" : ", ", member->self.name);
    }
}

static int by_name(const void *a, const void *b)
{
    const struct message_member *left = a, *right = b;
    int order = strcmp(left->name, right->name);

    return order != 0 ? order : memcmp(left->broker_id.bytes, right->broker_id.bytes, UUID_SIZE);
}

int peers_describe(const struct peers *peers, struct arena *arena, struct message_members_response *ret_members)
{
    size_t count = gossip_member_count(peers->gossip);
    struct message_member *members = arena_alloc(arena, count + 1, sizeof(*members));
    int err = members == NULL ? MESH_ENOMEM : 0;

    for (size_t i = 0; i < count && err == 0; i++)
        err = describe(peers, gossip_member_at(peers->gossip, i), arena, &members[i]);
    if (err != 0) return err;
    qsort(members, count, sizeof(*members), by_name);
    *ret_members = (struct message_members_response){peers->options.cluster_id, members, count};
    return 0;
}
