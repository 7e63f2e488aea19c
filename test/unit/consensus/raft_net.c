#include "unit/consensus/raft_net.h"

#include "base/assert.h"
#include "base/error.h"

#include <stdlib.h>
#include <string.h>

/* A hash good enough for tests: four lanes of a multiplicative mix. */
void net_chain(const uint8_t previous[RAFT_CHAIN_SIZE], const struct raft_entry *entry, uint8_t ret_chain[RAFT_CHAIN_SIZE])
{
    uint64_t lanes[4], mix = entry->index * 0x9e3779b97f4a7c15u ^ entry->term * 0xbf58476d1ce4e5b9u ^ (uint64_t)entry->type << 56;

    memcpy(lanes, previous, sizeof(lanes));
    for (size_t i = 0; i < entry->body.size; i++)
        mix = (mix ^ entry->body.data[i]) * 0x100000001b3u;
    for (int i = 0; i < 4; i++) {
        lanes[i] = (lanes[i] ^ mix) * 0x94d049bb133111ebu + lanes[(i + 1) & 3] + 1;
        lanes[i] ^= lanes[i] >> 29;
    }
    memcpy(ret_chain, lanes, sizeof(lanes));
}

/* Calls of a server that may be made to run out of memory. */
#define CALLED(net, call)                                                                                     \
    do {                                                                                                      \
        if ((net)->before != NULL) (net)->before(net);                                                        \
        call;                                                                                                 \
        if ((net)->after != NULL) (net)->after(net);                                                          \
    } while (0)

static void breach(struct raft_net *net, const char *what)
{
    if (net->breaches++ == 0) net->breach = what;
}

void net_init(struct raft_net *net, uint64_t seed, unsigned host_count)
{
    memset(net, 0, sizeof(*net));
    net->now_us = NET_S;
    net->host_count = host_count;
    random_init(&net->random, seed);
    net->delay_min_us = 200;
    net->delay_max_us = 600;
    net->snapshot_size = 3000;
    net->judges_words = true;
    net->committed_chain = calloc(NET_INDEX_MAX, sizeof(*net->committed_chain));
    MESH_ASSERT(net->committed_chain != NULL);
    raft_options_init(&net->options);
    net->options.chain = net_chain;
    for (unsigned i = 0; i < host_count; i++) {
        struct net_host *host = &net->hosts[i];
        host->server.broker.bytes[0] = (uint8_t)(i + 1);
        host->server.dir.bytes[0] = (uint8_t)(i + 101);
        host->disk.first = 1;
        host->disk_min_us = 100;
        host->disk_max_us = 400;
        host->seed = seed * 100 + i;
    }
}

/* ---- the disk ---- */

static void entries_free(struct raft_entry *entries, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free((void *)entries[i].body.data);
    free(entries);
}

static struct raft_entry entry_copy(const struct raft_entry *entry)
{
    struct raft_entry copy = *entry;
    uint8_t *body = malloc(entry->body.size + 1);

    MESH_ASSERT(body != NULL);
    if (entry->body.size != 0) memcpy(body, entry->body.data, entry->body.size);
    copy.body = slice_of(body, entry->body.size);
    return copy;
}

static void disk_cut(struct net_disk *disk, uint64_t index)
{
    while (disk->entry_count != 0 && disk->first + disk->entry_count - 1 > index)
        free((void *)disk->entries[--disk->entry_count].body.data);
}

static void disk_append(struct net_disk *disk, const struct raft_entry *entries, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (entries[i].index <= disk->snapshot.index && entries[i].index < disk->first) continue;
        if (i == 0 || entries[i].index == disk->first) disk_cut(disk, entries[i].index - 1);
        MESH_ASSERT(entries[i].index == disk->first + disk->entry_count);
        if (disk->entry_count == disk->entry_capacity) {
            disk->entry_capacity = disk->entry_capacity * 2 + 64;
            disk->entries = realloc(disk->entries, disk->entry_capacity * sizeof(*disk->entries));
            MESH_ASSERT(disk->entries != NULL);
        }
        disk->entries[disk->entry_count++] = entry_copy(&entries[i]);
    }
}

static void disk_snapshot(struct net_disk *disk, const struct raft_position *position, const struct raft_config *config, uint64_t size)
{
    uint64_t index = position->index;
    bool continues = index >= disk->first && index < disk->first + disk->entry_count &&
                     memcmp(disk->entries[index - disk->first].chain, position->chain, RAFT_CHAIN_SIZE) == 0;

    disk->snapshot = *position;
    disk->snapshot_config = *config;
    disk->snapshot_size = size;
    if (continues) {
        size_t gone = (size_t)(index + 1 - disk->first);
        for (size_t i = 0; i < gone; i++)
            free((void *)disk->entries[i].body.data);
        memmove(disk->entries, disk->entries + gone, (disk->entry_count - gone) * sizeof(*disk->entries));
        disk->entry_count -= gone;
    } else {
        disk_cut(disk, 0);
    }
    disk->first = index + 1;
}

static bool disk_has(const struct net_disk *disk, uint64_t index)
{
    return index < disk->first + disk->entry_count;
}

void net_disk_wipe(struct raft_net *net, unsigned host)
{
    struct net_disk *disk = &net->hosts[host].disk;

    entries_free(disk->entries, disk->entry_count);
    memset(disk, 0, sizeof(*disk));
    disk->first = 1;
    net->hosts[host].applied = 0;
}

void net_damage(struct raft_net *net, unsigned host, uint64_t first)
{
    struct net_disk *disk = &net->hosts[host].disk;
    uint64_t last = disk->first + disk->entry_count - 1;

    MESH_ASSERT(net->hosts[host].raft == NULL);
    if (first > last || first < disk->first) return;
    disk_cut(disk, first - 1);
    if (disk->damaged_until < last) disk->damaged_until = last; /* as recovery finds it */
}

static void store_push(struct raft_net *net, struct net_host *host, const struct raft_output *output)
{
    struct net_store *store;
    uint64_t start = net->now_us;

    MESH_ASSERT(host->store_count < NET_STORES_MAX);
    if (host->store_count != 0)
        start = host->stores[(host->store_head + host->store_count - 1) % NET_STORES_MAX].done_us;
    store = &host->stores[(host->store_head + host->store_count++) % NET_STORES_MAX];
    memset(store, 0, sizeof(*store));
    if (start < net->now_us) start = net->now_us;
    store->number = output->store;
    store->done_us = start + host->disk_min_us + random_below(&net->random, host->disk_max_us - host->disk_min_us + 1);
    store->type = output->type == RAFT_OUTPUT_STORE_STATE     ? NET_STATE
                  : output->type == RAFT_OUTPUT_STORE_ENTRIES ? NET_ENTRIES
                                                              : NET_CHUNK;
    store->term = output->term;
    store->voted_for = output->voted_for;
    store->damaged_until = output->damaged_until;
    store->committed = random_below(&net->random, 2) == 0 ? output->committed : 0;
    if (output->entry_count != 0) {
        store->entries = malloc(output->entry_count * sizeof(*store->entries));
        MESH_ASSERT(store->entries != NULL);
        for (size_t i = 0; i < output->entry_count; i++)
            store->entries[i] = entry_copy(&output->entries[i]);
        store->entry_count = output->entry_count;
    }
    if (store->type == NET_CHUNK) {
        store->position = output->position;
        store->config = *output->config;
        store->total = output->total;
        store->is_last = output->is_last;
    }
}

/* Takes the oldest store off; is it to be done or lost? */
static struct net_store store_pop(struct net_host *host, bool is_done)
{
    struct net_store store = host->stores[host->store_head];

    host->store_head = (host->store_head + 1) % NET_STORES_MAX;
    host->store_count--;
    if (is_done && store.type == NET_STATE) {
        host->disk.term = store.term;
        host->disk.voted_for = store.voted_for;
        host->disk.damaged_until = store.damaged_until;
    } else if (is_done && store.type == NET_ENTRIES) {
        disk_append(&host->disk, store.entries, store.entry_count);
        if (host->disk.committed < store.committed) host->disk.committed = store.committed;
    } else if (is_done && store.is_last) {
        disk_snapshot(&host->disk, &store.position, &store.config, store.total);
    }
    entries_free(store.entries, store.entry_count);
    return store;
}

/* ---- the network ---- */

static bool packet_before(const struct net_packet *a, const struct net_packet *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

static void packet_push(struct raft_net *net, struct net_packet packet)
{
    size_t at = net->packet_count++;

    if (at == net->packet_capacity) {
        net->packet_capacity = net->packet_capacity * 2 + 256;
        net->packets = realloc(net->packets, net->packet_capacity * sizeof(*net->packets));
        MESH_ASSERT(net->packets != NULL);
    }
    for (; at > 0 && packet_before(&packet, &net->packets[(at - 1) / 2]); at = (at - 1) / 2)
        net->packets[at] = net->packets[(at - 1) / 2];
    net->packets[at] = packet;
}

static struct net_packet packet_pop(struct raft_net *net)
{
    struct net_packet first = net->packets[0], last = net->packets[--net->packet_count];
    size_t at = 0;

    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= net->packet_count) break;
        if (child + 1 < net->packet_count && packet_before(&net->packets[child + 1], &net->packets[child])) child++;
        if (!packet_before(&net->packets[child], &last)) break;
        net->packets[at] = net->packets[child];
        at = child;
    }
    if (net->packet_count != 0) net->packets[at] = last;
    return first;
}

static int host_of(const struct raft_net *net, const struct raft_server *server)
{
    for (unsigned i = 0; i < net->host_count; i++) {
        if (uuid_equal(&net->hosts[i].server.broker, &server->broker)) return (int)i;
    }
    return -1;
}

static bool packet_is_lost(struct raft_net *net, unsigned from, unsigned to, const struct message *message)
{
    if (net->is_cut[from][to]) return true;
    if (net->choose_drop != NULL && net->choose_drop(net, from, to, message) != 0) return true;
    return net->loss > 0 && random_unit(&net->random) < net->loss;
}

static void packet_send(struct raft_net *net, unsigned from, unsigned to, struct slice bytes)
{
    unsigned copies = net->doubling > 0 && random_unit(&net->random) < net->doubling ? 2 : 1;

    for (unsigned i = 0; i < copies; i++) {
        struct net_packet packet = {.from = from, .to = to, .order = ++net->order, .size = bytes.size};
        packet.from_server = net->hosts[from].server;
        packet.at_us = net->now_us + net->delay_min_us + random_below(&net->random, net->delay_max_us - net->delay_min_us + 1);
        packet.bytes = malloc(bytes.size);
        MESH_ASSERT(packet.bytes != NULL);
        memcpy(packet.bytes, bytes.data, bytes.size);
        packet_push(net, packet);
    }
}

/* ---- what must hold ---- */

/* Nothing is said that the disk does not hold. */
static void check_said(struct raft_net *net, struct net_host *host, const struct message *message)
{
    if (!net->judges_words || message->type == MESSAGE_PRESENCE || (message->flags & MESSAGE_PRE_VOTE) != 0) return;
    if (host->disk.term < message->term) breach(net, "a term was spoken in that is not durable");
    if (message->type == MESSAGE_VOTE_RESPONSE && (message->flags & MESSAGE_GRANTED) != 0 && host->disk.term == message->term &&
        !raft_server_equal(&host->disk.voted_for, &message->to))
        breach(net, "a vote was given that is not durable");
    if (message->type == MESSAGE_APPEND_RESPONSE && (message->flags & MESSAGE_REJECTED) == 0 &&
        !disk_has(&host->disk, message->match))
        breach(net, "entries were acknowledged that are not durable");
}

/* Whoever is elected has all that was committed in earlier terms (leader completeness). A late vote may still elect one of an older term: it
 * can commit nothing. */
static void check_completeness(struct raft_net *net, unsigned i)
{
    struct raft_status status = net_status(net, i);
    struct raft_entry entry;

    if (net->committed == 0 || net->committed <= status.snapshot.index || status.term <= net->committed_in) return;
    if (!raft_get_entry(net->hosts[i].raft, net->committed, &entry) ||
        memcmp(entry.chain, net->committed_chain[net->committed], RAFT_CHAIN_SIZE) != 0)
        breach(net, "a leader was elected that lacks what is committed");
}

static void check_role(struct raft_net *net, unsigned i, const struct raft_output *output)
{
    net->hosts[i].role = output->role;
    if (output->role != RAFT_LEADER) return;
    MESH_ASSERT(output->term < NET_TERM_MAX);
    if (net->leader_of_term[output->term] != 0 && net->leader_of_term[output->term] != i + 1)
        breach(net, "two leaders in one term");
    net->leader_of_term[output->term] = i + 1;
    check_completeness(net, i);
}

static void check_committed(struct raft_net *net, uint64_t index, uint64_t term, const uint8_t chain[RAFT_CHAIN_SIZE])
{
    static const uint8_t none[RAFT_CHAIN_SIZE];

    MESH_ASSERT(index < NET_INDEX_MAX);
    if (memcmp(net->committed_chain[index], none, RAFT_CHAIN_SIZE) == 0) {
        memcpy(net->committed_chain[index], chain, RAFT_CHAIN_SIZE);
    } else if (memcmp(net->committed_chain[index], chain, RAFT_CHAIN_SIZE) != 0) {
        breach(net, "two histories of what is committed");
    }
    if (index <= net->committed) return;
    net->committed = index;
    net->committed_in = term;
}

static void snapshot_take(struct raft_net *net, struct net_host *host)
{
    struct raft_status status;

    raft_get_status(host->raft, &status);
    if (net->snapshot_every == 0 || host->applied < status.snapshot.index + net->snapshot_every || host->applied > status.durable_index)
        return;
    /* the store writes it after all that was given to it before: at once here, when nothing is on its way */
    if (host->store_count != 0 || !disk_has(&host->disk, host->applied) || host->applied < host->disk.first) return;
    {
        const struct raft_entry *last = &host->disk.entries[host->applied - host->disk.first];
        struct raft_position position = {host->applied, last->term, {0}};
        memcpy(position.chain, last->chain, RAFT_CHAIN_SIZE);
        if (status.committed.index != host->applied) return; /* the configuration is that of the committed end */
        disk_snapshot(&host->disk, &position, raft_get_committed_config(host->raft), net->snapshot_size);
        raft_compact(host->raft, net->now_us, host->applied);
    }
}

static void commit_take(struct raft_net *net, struct net_host *host, const struct raft_output *output)
{
    struct raft_status status;

    raft_get_status(host->raft, &status);
    for (size_t k = 0; k < output->entry_count; k++) {
        const struct raft_entry *entry = &output->entries[k];
        if (entry->index != host->applied + 1) breach(net, "entries are given out of order");
        host->applied = entry->index;
        check_committed(net, entry->index, status.term, entry->chain);
    }
}

static void snapshot_read(struct raft_net *net, struct net_host *host, const struct raft_output *output)
{
    static uint8_t zeros[1 << 20];
    uint64_t left = host->disk.snapshot_size - output->offset;
    size_t size = left < output->size ? (size_t)left : (size_t)output->size;
    struct raft_server to = output->to;

    CALLED(net, raft_snapshot_bytes(host->raft, net->now_us, &to, host->disk.snapshot.index, output->offset, slice_of(zeros, size),
                                    host->disk.snapshot_size, host->disk.snapshot.index == output->index ? 0 : MESH_ENOTFOUND));
}

static void output_send(struct raft_net *net, unsigned i, const struct raft_output *output)
{
    struct message message;
    int to = host_of(net, &output->to), err = message_decode(output->message, &message);

    MESH_ASSERT(err == 0);
    net->messages[message.type]++;
    net->bytes_sent += output->message.size;
    check_said(net, &net->hosts[i], &message);
    if (to < 0 || packet_is_lost(net, i, (unsigned)to, &message)) return;
    packet_send(net, i, (unsigned)to, output->message);
}

static void read_take(struct raft_net *net, struct net_host *host, const struct raft_output *output)
{
    host->last_read_context = output->context;
    host->last_read_index = output->index;
    host->reads++;
    host->reads_lost += output->index == 0;
    host->read_is_open[output->context % NET_READS_MAX] = false;
    if (output->index != 0 && output->index < host->read_floor[output->context % NET_READS_MAX])
        breach(net, "a read is older than what was committed when it was asked for");
}

int net_read(struct raft_net *net, unsigned i, uint64_t context)
{
    struct net_host *host = &net->hosts[i];
    int err = host->read_is_open[context % NET_READS_MAX] ? MESH_EBUSY : raft_read(host->raft, net->now_us, context);

    if (err == 0) {
        host->read_floor[context % NET_READS_MAX] = net->committed;
        host->read_is_open[context % NET_READS_MAX] = true;
    }
    net_drain(net, i);
    return err;
}

void net_drain(struct raft_net *net, unsigned i)
{
    struct net_host *host = &net->hosts[i];
    struct raft_output output;

    while (host->raft != NULL) {
        bool has_output;
        CALLED(net, has_output = raft_next_output(host->raft, net->now_us, &output));
        if (!has_output) break;
        switch (output.type) {
        case RAFT_OUTPUT_SEND: output_send(net, i, &output); break;
        case RAFT_OUTPUT_STORE_STATE:
        case RAFT_OUTPUT_STORE_ENTRIES:
        case RAFT_OUTPUT_STORE_CHUNK: store_push(net, host, &output); break;
        case RAFT_OUTPUT_COMMIT: commit_take(net, host, &output); break;
        case RAFT_OUTPUT_RESTORE:
            if (output.position.index <= host->applied) breach(net, "a snapshot set the state back");
            host->applied = output.position.index;
            host->restored = output.position;
            host->restores++;
            check_committed(net, output.position.index, net_status(net, i).term, output.position.chain);
            break;
        case RAFT_OUTPUT_ROLE: check_role(net, i, &output); break;
        case RAFT_OUTPUT_READ: read_take(net, host, &output); break;
        case RAFT_OUTPUT_SNAPSHOT_READ: snapshot_read(net, host, &output); break;
        }
    }
    if (host->raft != NULL) snapshot_take(net, host);
}

/* ---- life ---- */

struct raft_config net_config(const struct raft_net *net, unsigned voters, unsigned learners)
{
    struct raft_config config;

    memset(&config, 0, sizeof(config));
    for (unsigned i = 0; i < voters; i++)
        config.voters[config.voter_count++] = net->hosts[i].server;
    for (unsigned i = voters; i < voters + learners; i++)
        config.learners[config.learner_count++] = net->hosts[i].server;
    return config;
}

void net_start(struct raft_net *net, unsigned i)
{
    struct net_host *host = &net->hosts[i];
    struct raft_recovered recovered;
    struct raft_options options = net->options;
    int err;

    memset(&recovered, 0, sizeof(recovered));
    recovered.term = host->disk.term;
    recovered.voted_for = host->disk.voted_for;
    recovered.snapshot = host->disk.snapshot;
    recovered.snapshot_config = host->disk.snapshot_config;
    recovered.committed = host->disk.committed;
    recovered.entries = host->disk.entries;
    recovered.entry_count = host->disk.entry_count;
    recovered.damaged_until = host->disk.damaged_until;
    options.self = host->server;
    options.seed = ++host->seed * 7919 + net->now_us;
    host->applied = host->disk.snapshot.index; /* the user's state is the snapshot's */
    err = raft_new(&options, &recovered, net->now_us, &host->raft);
    MESH_ASSERT(err == 0);
#ifdef MESH_TEST_SWITCHES
    for (unsigned defect = 1; defect < RAFT_DEFECT_COUNT; defect++) {
        if ((net->defects >> defect & 1) != 0) raft_bring_back(host->raft, (enum raft_defect)defect);
    }
#endif
    net_drain(net, i);
}

void net_start_all(struct raft_net *net, unsigned voters, unsigned learners)
{
    struct raft_config config = net_config(net, voters, learners);

    for (unsigned i = 0; i < net->host_count; i++) {
        net_start(net, i);
        if (i >= voters) continue;
        MESH_ASSERT(raft_bootstrap(net->hosts[i].raft, net->now_us, &config, slice_of("first", 5)) == 0);
        net_drain(net, i);
    }
}

void net_crash(struct raft_net *net, unsigned i, bool lose_all)
{
    struct net_host *host = &net->hosts[i];
    struct raft_status status;

    if (host->raft == NULL) return;
    raft_get_status(host->raft, &status);
    if (random_below(&net->random, 2) == 0) /* the hint is of what is durable: another entry may have that place on the disk yet */
        host->disk.committed = status.committed.index < status.durable_index ? status.committed.index : status.durable_index;
    while (host->store_count != 0) {
        lose_all = lose_all || random_below(&net->random, 2) == 0; /* what comes after what is lost is lost too */
        store_pop(host, !lose_all);
    }
    raft_free(host->raft);
    host->raft = NULL;
    host->role = RAFT_FOLLOWER;
    memset(host->read_is_open, 0, sizeof(host->read_is_open));
}

void net_free(struct raft_net *net)
{
    for (unsigned i = 0; i < net->host_count; i++) {
        net_crash(net, i, true);
        entries_free(net->hosts[i].disk.entries, net->hosts[i].disk.entry_count);
    }
    for (size_t i = 0; i < net->packet_count; i++)
        free(net->packets[i].bytes);
    free(net->packets);
    free(net->committed_chain);
}

/* ---- time ---- */

static void packet_deliver(struct raft_net *net)
{
    struct net_packet packet = packet_pop(net);
    struct net_host *host = &net->hosts[packet.to];

    if (host->raft != NULL && !net->is_cut[packet.from][packet.to]) {
        CALLED(net, raft_receive(host->raft, net->now_us, &packet.from_server, slice_of(packet.bytes, packet.size)));
        net_drain(net, packet.to);
    }
    free(packet.bytes);
}

static void store_finish(struct raft_net *net, unsigned i)
{
    struct net_host *host = &net->hosts[i];
    struct net_store store;
    bool is_refused = host->stores[host->store_head].is_last && net->refuse_next_snapshot;

    store = store_pop(host, !is_refused);
    if (is_refused) {
        net->refuse_next_snapshot = false;
        CALLED(net, raft_chunk_refused(host->raft, net->now_us, store.number));
    } else {
        CALLED(net, raft_stored(host->raft, net->now_us, store.number));
    }
    net_drain(net, i);
}

bool net_step(struct raft_net *net, uint64_t until_us)
{
    uint64_t at = until_us;
    enum { NOTHING, PACKET, STORE, TICK } what = NOTHING;
    unsigned who = 0;

    if (net->packet_count != 0 && net->packets[0].at_us < at) at = net->packets[0].at_us, what = PACKET;
    for (unsigned i = 0; i < net->host_count; i++) {
        struct net_host *host = &net->hosts[i];
        uint64_t due;
        if (host->raft == NULL) continue;
        if (host->store_count != 0 && !host->disk_is_stuck && host->stores[host->store_head].done_us < at)
            at = host->stores[host->store_head].done_us, what = STORE, who = i;
        due = raft_due_us(host->raft);
        if (due < at) at = due, what = TICK, who = i;
    }
    if (at > net->now_us) net->now_us = at;
    switch (what) {
    case NOTHING: return false;
    case PACKET: packet_deliver(net); break;
    case STORE: store_finish(net, who); break;
    case TICK:
        CALLED(net, raft_tick(net->hosts[who].raft, net->now_us));
        net_drain(net, who);
        break;
    }
    return true;
}

void net_run(struct raft_net *net, uint64_t for_us)
{
    uint64_t until = net->now_us + for_us;

    while (net_step(net, until)) continue;
}

bool net_until(struct raft_net *net, uint64_t for_us, net_condition *condition, void *context)
{
    uint64_t until = net->now_us + for_us;

    while (!condition(net, context)) {
        if (!net_step(net, until)) return condition(net, context);
    }
    return true;
}

/* ---- questions ---- */

struct raft_status net_status(const struct raft_net *net, unsigned host)
{
    struct raft_status status;

    raft_get_status(net->hosts[host].raft, &status);
    return status;
}

int net_leader(const struct raft_net *net)
{
    uint64_t term = 0;
    int leader = -1;

    for (unsigned i = 0; i < net->host_count; i++) {
        struct raft_status status;
        if (net->hosts[i].raft == NULL) continue;
        status = net_status(net, i);
        if (!status.is_leader_ready || status.term <= term) continue;
        term = status.term;
        leader = (int)i;
    }
    return leader;
}

bool net_has_leader(struct raft_net *net, void *unused)
{
    (void)unused;
    return net_leader(net) >= 0;
}

bool net_all_equal(struct raft_net *net, void *unused)
{
    int leader = net_leader(net);

    (void)unused;
    if (leader < 0) return false;
    for (unsigned i = 0; i < net->host_count; i++) {
        if (net->hosts[i].raft == NULL) continue;
        if (net->hosts[i].applied != net_status(net, (unsigned)leader).last.index) return false;
        if (net_status(net, i).last.index != net_status(net, (unsigned)leader).last.index) return false;
    }
    return true;
}

int net_propose(struct raft_net *net, const char *text, uint64_t *ret_index)
{
    int leader = net_leader(net), err = 0;
    uint64_t index = 0, term;

    if (leader < 0) return MESH_ENOT_LEADER;
    CALLED(net, err = raft_propose(net->hosts[leader].raft, net->now_us, slice_of_string(text), &index, &term));
    net_drain(net, (unsigned)leader);
    if (err == 0 && ret_index != NULL) *ret_index = index;
    return err;
}

void net_isolate(struct raft_net *net, unsigned host, bool is_cut)
{
    for (unsigned i = 0; i < net->host_count; i++)
        net->is_cut[i][host] = net->is_cut[host][i] = is_cut;
}
