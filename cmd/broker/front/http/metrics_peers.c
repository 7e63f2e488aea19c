/* front/http/metrics_peers.c - see metrics_peers.h. */
#include "cmd/broker/front/http/metrics_peers.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

struct peers_family {
    const char *name, *type, *help;
    size_t offset; /* of a uint64_t in struct peers_stats */
};

#define PEERS(field) offsetof(struct peers_stats, field)

static const struct peers_family families[] = {
    {"mesh_gossip_packets_received_total", "counter", "Authentic packets from peers.", PEERS(gossip.packets_in)},
    {"mesh_gossip_packets_sent_total", "counter", "Packets made for peers.", PEERS(gossip.packets_out)},
    {"mesh_gossip_messages_received_total", "counter", "Gossip messages received over links.", PEERS(gossip.messages_in)},
    {"mesh_gossip_messages_sent_total", "counter", "Gossip messages sent over links.", PEERS(gossip.messages_out)},
    {"mesh_gossip_malformed_total", "counter", "Authentic packets and messages that could not be read.", PEERS(gossip.malformed)},
    {"mesh_gossip_wrong_target_total", "counter", "Packets that were meant for another broker.", PEERS(gossip.wrong_target)},
    {"mesh_gossip_old_boot_total", "counter", "Packets from before their sender's restart.", PEERS(gossip.old_boot)},
    {"mesh_gossip_bad_signatures_total", "counter", "Statements about a broker that it has not signed.",
     PEERS(gossip.bad_signature)},
    {"mesh_gossip_refused_members_total", "counter", "Members refused because the table is full.", PEERS(gossip.refused_members)},
    {"mesh_gossip_probes_total", "counter", "Probes begun.", PEERS(gossip.probes)},
    {"mesh_gossip_probe_timeouts_total", "counter", "Probes without an answer in time.", PEERS(gossip.probe_timeouts)},
    {"mesh_gossip_indirect_probes_total", "counter", "Probes by way of others.", PEERS(gossip.indirect_probes)},
    {"mesh_gossip_stalls_total", "counter", "Gaps in which this broker did not run.", PEERS(gossip.stalls)},
    {"mesh_gossip_suspicions_total", "counter", "Members that this broker has suspected first.", PEERS(gossip.suspicions)},
    {"mesh_gossip_refutations_total", "counter", "Suspicions of this broker that it has refuted.", PEERS(gossip.refutations)},
    {"mesh_gossip_deaths_total", "counter", "Members declared dead here.", PEERS(gossip.deaths)},
    {"mesh_gossip_fast_deaths_total", "counter", "Those whose process was found gone by two observers.",
     PEERS(gossip.fast_deaths)},
    {"mesh_gossip_syncs_total", "counter", "Full exchanges after unequal digests.", PEERS(gossip.syncs)},
    {"mesh_udp_received_bytes_total", "counter", "Bytes of datagrams received.", PEERS(udp_received_bytes)},
    {"mesh_udp_sent_bytes_total", "counter", "Bytes of datagrams sent.", PEERS(udp_sent_bytes)},
    {"mesh_udp_unsent_total", "counter", "Datagrams that the kernel did not take.", PEERS(udp_unsent)},
    {"mesh_udp_oversized_total", "counter", "Datagrams dropped because of their size.", PEERS(udp_oversized)},
    {"mesh_link_received_bytes_total", "counter", "Bytes received over links.", PEERS(link_received_bytes)},
    {"mesh_link_sent_bytes_total", "counter", "Bytes sent over links.", PEERS(link_sent_bytes)},
    {"mesh_links_rejected_total", "counter", "Links that failed because of who was at the other end.", PEERS(links_rejected)},
};

static void write_members(struct metrics_writer *writer, const struct gossip_stats *gossip)
{
    metrics_family(writer, "mesh_members", "gauge", "Brokers of the mesh as this one sees them, itself included.");
    METRICS_WRITE(writer, "mesh_members{state=\"alive\"} %u\n", gossip->alive);
    METRICS_WRITE(writer, "mesh_members{state=\"suspect\"} %u\n", gossip->suspect);
    METRICS_WRITE(writer, "mesh_members{state=\"dead\"} %u\n", gossip->dead);
    METRICS_WRITE(writer, "mesh_members{state=\"left\"} %u\n", gossip->left);
    metrics_single(writer, "mesh_gossip_health", "gauge", "How slow this broker thinks that it is itself; 0 is good.",
                   gossip->health);
    metrics_single(writer, "mesh_gossip_queued_bytes", "gauge", "News that wait to be spread.", gossip->queued_bytes);
}

#define PACKET_REASON(name, text) #name,
static const char *const reasons[] = {PACKET_RESULT_MAP(PACKET_REASON)};

static void write_dropped(struct metrics_writer *writer, const struct peers_stats *stats)
{
    metrics_family(writer, "mesh_packets_dropped_total", "counter", "Datagrams dropped, by what was wrong with them.");
    for (size_t i = 0; i < PACKET_RESULT_COUNT; i++) {
        char reason[32] = "";

        if (i == PACKET_OK) continue;
        for (size_t j = 0; reasons[i][j] != '\0' && j < sizeof(reason) - 1; j++)
            reason[j] = (char)tolower((unsigned char)reasons[i][j]);
        METRICS_WRITE(writer, "mesh_packets_dropped_total{reason=\"%s\"} %llu\n", reason,
                      (unsigned long long)stats->packets_dropped[i]);
    }
}

void metrics_peers_write(struct metrics_writer *writer, const struct peers_stats *stats)
{
    write_members(writer, &stats->gossip);
    metrics_single(writer, "mesh_links", "gauge", "Links to other brokers.", stats->links);
    write_dropped(writer, stats);
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        uint64_t value;

        memcpy(&value, (const char *)stats + families[i].offset, sizeof(value));
        metrics_family(writer, families[i].name, families[i].type, families[i].help);
        METRICS_WRITE(writer, "%s %llu\n", families[i].name, (unsigned long long)value);
    }
}
