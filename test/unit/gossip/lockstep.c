#include "unit/gossip/lockstep.h"

#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

#define EVENT_BYTES 65536 /* the largest piece of a message */

enum event_type { EVENT_PACKET, EVENT_MESSAGE, EVENT_LINK_UP, EVENT_LINK_DOWN, EVENT_DIAL_FAILED };

struct lockstep_event {
    struct lockstep_event *next; /* spare */
    uint64_t at_us, order;
    enum event_type type;
    size_t from, to;
    uint32_t boot, to_boot;
    int how;
    struct uuid peer;
    struct net_address address;
    size_t size;
    uint8_t bytes[EVENT_BYTES];
};

/* ---- identities ---- */

struct uuid lockstep_id(size_t who)
{
    struct uuid id;
    uint64_t x = (who + 1) * 0x9e3779b97f4a7c15u;

    memcpy(id.bytes, &x, 8);
    x = (who + 1) * 0xbf58476d1ce4e5b9u;
    memcpy(id.bytes + 8, &x, 8);
    return id;
}

struct net_address lockstep_address(size_t who)
{
    struct net_address address = {{[10] = 0xff, [11] = 0xff, [12] = 10, [14] = (uint8_t)(who >> 8), [15] = (uint8_t)who},
                                  9092};
    return address;
}

static size_t at_address(const struct net_address *address)
{
    return (size_t)address->ip[14] << 8 | address->ip[15];
}

void lockstep_public_key(const struct uuid *id, uint8_t ret_key[GOSSIP_PUBLIC_KEY])
{
    memcpy(ret_key, id->bytes, 16);
    memcpy(ret_key + 16, id->bytes, 16);
}

static void seal(const uint8_t key[GOSSIP_PUBLIC_KEY], struct slice message, uint8_t ret_signature[GOSSIP_SIGNATURE])
{
    uint64_t hash = 0xcbf29ce484222325u;

    for (size_t i = 0; i < message.size; i++)
        hash = (hash ^ message.data[i]) * 0x100000001b3u;
    memset(ret_signature, 0, GOSSIP_SIGNATURE);
    memcpy(ret_signature, &hash, 8);
    memcpy(ret_signature + 32, key, GOSSIP_PUBLIC_KEY);
}

static void sign(void *user, struct slice message, uint8_t ret_signature[GOSSIP_SIGNATURE])
{
    uint8_t key[GOSSIP_PUBLIC_KEY];
    size_t who = (size_t)(uintptr_t)user;
    struct uuid id = lockstep_id(who);

    lockstep_public_key(&id, key);
    seal(key, message, ret_signature);
}

static bool verify(void *user, const struct uuid *id, const uint8_t key[GOSSIP_PUBLIC_KEY], struct slice message,
                   const uint8_t signature[GOSSIP_SIGNATURE])
{
    uint8_t want[GOSSIP_SIGNATURE];

    (void)user;
    seal(key, message, want);
    return memcmp(key, id->bytes, 16) == 0 && memcmp(want, signature, GOSSIP_SIGNATURE) == 0;
}

struct gossip_signer lockstep_signer(const struct uuid *id)
{
    for (size_t who = 0; who < LOCKSTEP_MAX; who++) {
        struct uuid candidate = lockstep_id(who);
        if (uuid_equal(&candidate, id)) return (struct gossip_signer){(void *)(uintptr_t)who, sign, verify};
    }
    return (struct gossip_signer){NULL, sign, verify};
}

/* ---- events ---- */

static bool before(const struct lockstep_event *a, const struct lockstep_event *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

static void push(struct lockstep *net, struct lockstep_event *event)
{
    size_t at = net->event_count++;

    if (net->event_count > net->event_capacity) {
        net->event_capacity = net->event_capacity == 0 ? 1024 : 2 * net->event_capacity;
        net->heap = realloc(net->heap, net->event_capacity * sizeof(*net->heap));
        MESH_ASSERT(net->heap != NULL);
    }
    event->order = net->order++;
    while (at > 0 && before(event, net->heap[(at - 1) / 2])) {
        net->heap[at] = net->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    net->heap[at] = event;
}

void lockstep_reserve(struct lockstep *net, size_t events)
{
    if (net->event_capacity < events) {
        net->event_capacity = events;
        net->heap = realloc(net->heap, events * sizeof(*net->heap));
    }
    for (size_t i = 0; i < events; i++) {
        struct lockstep_event *event = malloc(sizeof(*event)); /* never touched, it costs no memory */
        MESH_ASSERT(event != NULL && net->heap != NULL);
        event->next = net->spare;
        net->spare = event;
    }
}

static struct lockstep_event *pop(struct lockstep *net)
{
    struct lockstep_event *first = net->heap[0], *last = net->heap[--net->event_count];
    size_t at = 0;

    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= net->event_count) break;
        if (child + 1 < net->event_count && before(net->heap[child + 1], net->heap[child])) child++;
        if (!before(net->heap[child], last)) break;
        net->heap[at] = net->heap[child];
        at = child;
    }
    net->heap[at] = last;
    return first;
}

static struct lockstep_event *new_event(struct lockstep *net, enum event_type type, size_t from, size_t to,
                                        struct slice bytes)
{
    struct lockstep_event *event = net->spare;

    if (event != NULL) net->spare = event->next;
    else event = malloc(sizeof(*event));
    MESH_ASSERT(event != NULL && bytes.size <= EVENT_BYTES);
    memset(event, 0, offsetof(struct lockstep_event, bytes));
    event->type = type;
    event->from = from;
    event->to = to;
    event->boot = net->brokers[from].boot;
    event->to_boot = net->brokers[to].boot;
    event->at_us = net->now_us + net->delay_us + random_below(&net->random, net->delay_us + 1);
    event->peer = lockstep_id(from);
    event->address = lockstep_address(from);
    event->size = bytes.size;
    if (bytes.size > 0) memcpy(event->bytes, bytes.data, bytes.size);
    return event;
}

static bool is_linked(const struct lockstep *net, size_t a, size_t b)
{
    return (net->brokers[a].links[b / 64] >> (b % 64)) & 1;
}

static void set_linked(struct lockstep *net, size_t a, size_t b, bool on)
{
    uint64_t bit = (uint64_t)1 << (b % 64);

    if (on) net->brokers[a].links[b / 64] |= bit;
    else net->brokers[a].links[b / 64] &= ~bit;
}

static size_t index_of(const struct lockstep *net, const struct uuid *id)
{
    for (size_t i = 0; i < net->count; i++) {
        struct uuid candidate = lockstep_id(i);
        if (uuid_equal(&candidate, id)) return i;
    }
    return net->count;
}

static void link_ends(struct lockstep *net, size_t a, size_t b, enum gossip_link_end how)
{
    for (int side = 0; side < 2; side++) {
        size_t to = side == 0 ? b : a, from = side == 0 ? a : b;
        struct lockstep_event *event;
        if (!is_linked(net, to, from)) continue;
        set_linked(net, to, from, false);
        event = new_event(net, EVENT_LINK_DOWN, from, to, slice_of(NULL, 0));
        event->how = how;
        push(net, event);
    }
}

static void dial(struct lockstep *net, size_t who, const struct gossip_output *output)
{
    size_t to = at_address(&output->address);
    bool any = uuid_is_zero(&output->peer), cut, wrong = false;
    struct lockstep_event *event;
    struct uuid there;

    if (to >= net->count) to = who;
    there = lockstep_id(to);
    wrong = to == who || (!any && !uuid_equal(&there, &output->peer));
    cut = net->brokers[to].is_cut || net->brokers[who].is_cut || net->brokers[to].is_paused;
    if (wrong || cut || net->brokers[to].gossip == NULL) {
        event = new_event(net, EVENT_DIAL_FAILED, who, who, slice_of(NULL, 0));
        event->peer = output->peer;
        event->address = output->address;
        event->how = wrong ? GOSSIP_DIAL_REJECTED : net->brokers[to].closes_port ? GOSSIP_DIAL_REFUSED : GOSSIP_DIAL_UNREACHABLE;
        if (cut || (!wrong && !net->brokers[to].closes_port)) event->at_us += 1000000;
        push(net, event);
        return;
    }
    if (is_linked(net, who, to)) return;
    set_linked(net, who, to, true);
    set_linked(net, to, who, true);
    push(net, new_event(net, EVENT_LINK_UP, to, who, slice_of(NULL, 0)));
    event = new_event(net, EVENT_LINK_UP, who, to, slice_of(NULL, 0));
    event->address.port = 40000;
    push(net, event);
}

static void send_message(struct lockstep *net, size_t who, const struct gossip_output *output)
{
    size_t to = index_of(net, &output->peer);
    struct lockstep_event *event;

    net->brokers[who].messages_out++;
    if (to == net->count || !is_linked(net, who, to)) return;
    event = new_event(net, EVENT_MESSAGE, who, to, output->bytes);
    event->at_us = net->now_us + 2 * net->delay_us; /* in order */
    push(net, event);
}

static void send_packet(struct lockstep *net, size_t who, const struct gossip_output *output)
{
    size_t to = at_address(&output->address);

    MESH_ASSERT(output->bytes.size <= GOSSIP_PACKET_MAX);
    net->brokers[who].packets_out++;
    net->brokers[who].bytes_out += output->bytes.size + 86; /* the seal, UDP and IP */
    if (to >= net->count || random_unit(&net->random) < net->loss || net->brokers[who].is_udp_cut ||
        net->brokers[to].is_udp_cut)
        return;
    push(net, new_event(net, EVENT_PACKET, who, to, output->bytes));
}

void lockstep_drain(struct lockstep *net, size_t who)
{
    struct lockstep_broker *broker = &net->brokers[who];
    struct gossip_output output;

    while (gossip_next_output(broker->gossip, net->now_us, &output)) {
        if (net->on_output != NULL) net->on_output(net, who, &output);
        switch (output.type) {
        case GOSSIP_OUTPUT_PACKET: send_packet(net, who, &output); break;
        case GOSSIP_OUTPUT_MESSAGE: send_message(net, who, &output); break;
        case GOSSIP_OUTPUT_DIAL: dial(net, who, &output); break;
        case GOSSIP_OUTPUT_HANG_UP: link_ends(net, who, index_of(net, &output.peer), GOSSIP_LINK_CLOSED); break;
        case GOSSIP_OUTPUT_MEMBER: broker->deaths_seen += output.member->state == GOSSIP_DEAD; break;
        case GOSSIP_OUTPUT_LEFT: broker->has_left = true; break;
        default: break;
        }
    }
    broker->due_us = gossip_due_us(broker->gossip);
}

static void deliver(struct lockstep *net, const struct lockstep_event *event)
{
    struct lockstep_broker *broker = &net->brokers[event->to];
    struct slice bytes = slice_of(event->bytes, event->size);

    if (broker->gossip == NULL || broker->is_cut || net->brokers[event->from].is_cut) {
        if (broker->gossip == NULL || event->type != EVENT_DIAL_FAILED) return;
    }
    if (broker->boot != event->to_boot && event->type != EVENT_PACKET) return;
    switch (event->type) {
    case EVENT_PACKET:
        gossip_receive_packet(broker->gossip, net->now_us, &event->peer, event->boot, &event->address, bytes);
        break;
    case EVENT_MESSAGE:
        if (!is_linked(net, event->to, event->from)) return;
        gossip_receive_message(broker->gossip, net->now_us, &event->peer, bytes);
        break;
    case EVENT_LINK_UP:
        if (!is_linked(net, event->to, event->from)) return;
        gossip_link_up(broker->gossip, net->now_us, &event->peer, event->boot, &event->address);
        break;
    case EVENT_LINK_DOWN:
        gossip_link_down(broker->gossip, net->now_us, &event->peer, (enum gossip_link_end)event->how);
        break;
    case EVENT_DIAL_FAILED:
        gossip_dial_failed(broker->gossip, net->now_us, &event->address, &event->peer,
                           (enum gossip_dial_failure)event->how);
        break;
    }
    lockstep_drain(net, event->to);
}

/* The earliest thing to happen happens; false when it lies beyond the end. */
static bool step(struct lockstep *net, uint64_t end_us)
{
    uint64_t first_us = net->event_count > 0 ? net->heap[0]->at_us : UINT64_MAX;
    size_t who = net->count;

    for (size_t i = 0; i < net->count; i++) {
        if (net->brokers[i].gossip == NULL || net->brokers[i].is_paused || net->brokers[i].due_us >= first_us) continue;
        first_us = net->brokers[i].due_us;
        who = i;
    }
    if (first_us > end_us) return false;
    if (first_us > net->now_us) net->now_us = first_us;
    if (who < net->count) {
        gossip_tick(net->brokers[who].gossip, net->now_us);
        lockstep_drain(net, who);
        return true;
    }
    struct lockstep_event *event = pop(net);
    if (net->brokers[event->to].is_paused) { /* waits in its socket */
        event->at_us = net->now_us + 10000;
        push(net, event);
        return true;
    }
    deliver(net, event);
    event->next = net->spare;
    net->spare = event;
    return true;
}

void lockstep_run(struct lockstep *net, uint64_t duration_us)
{
    uint64_t end_us = net->now_us + duration_us;

    while (step(net, end_us))
        continue;
    net->now_us = end_us;
}

bool lockstep_until(struct lockstep *net, uint64_t longest_us, bool (*is_so)(struct lockstep *, void *), void *user)
{
    uint64_t end_us = net->now_us + longest_us;

    while (!is_so(net, user))
        if (!step(net, end_us)) return false;
    return true;
}

/* ---- brokers ---- */

void lockstep_init(struct lockstep *net, uint64_t seed, size_t count)
{
    memset(net, 0, sizeof(*net));
    MESH_ASSERT(count <= LOCKSTEP_MAX);
    net->now_us = 1000000;
    net->count = count;
    net->delay_us = 500;
    random_init(&net->random, seed);
    for (size_t i = 0; i < count; i++) {
        struct gossip_options *options = &net->brokers[i].options;
        gossip_options_init(options);
        options->self.id = lockstep_id(i);
        options->self.dir_id = lockstep_id(i);
        options->self.address = lockstep_address(i);
        options->self.client_port = 9092;
        snprintf(options->self.name, sizeof(options->self.name), "broker-%zu", i);
        lockstep_public_key(&options->self.id, options->self.public_key);
        options->signer = (struct gossip_signer){(void *)(uintptr_t)i, sign, verify};
        options->seed = seed * 1000 + i;
    }
}

void lockstep_free(struct lockstep *net)
{
    for (size_t i = 0; i < net->count; i++)
        gossip_free(net->brokers[i].gossip);
    while (net->event_count > 0)
        free(pop(net));
    while (net->spare != NULL) {
        struct lockstep_event *event = net->spare;
        net->spare = event->next;
        free(event);
    }
    free(net->heap);
}

void lockstep_start(struct lockstep *net, size_t who, size_t seed)
{
    struct lockstep_broker *broker = &net->brokers[who];
    struct net_address address = lockstep_address(seed);

    MESH_ASSERT(broker->gossip == NULL);
    for (size_t i = 0; i < net->count; i++) /* ends that were still open are answered by a stranger now */
        link_ends(net, who, i, GOSSIP_LINK_RESET);
    broker->boot++;
    broker->is_cut = broker->has_left = false;
    broker->options.self.incarnation = (uint64_t)broker->boot << 32;
    MESH_ASSERT(gossip_new(&broker->options, net->now_us, &broker->gossip) == 0);
#ifdef MESH_TEST_SWITCHES
    for (int defect = 1; defect < GOSSIP_DEFECT_COUNT; defect++)
        if (net->defects >> defect & 1) gossip_bring_back(broker->gossip, (enum gossip_defect)defect);
#endif
    if (seed != who) MESH_ASSERT(gossip_set_seeds(broker->gossip, net->now_us, &address, 1) == 0);
    lockstep_drain(net, who);
}

void lockstep_start_all(struct lockstep *net)
{
    for (size_t i = 0; i < net->count; i++)
        lockstep_start(net, i, 0);
}

static void stop(struct lockstep *net, size_t who)
{
    gossip_free(net->brokers[who].gossip);
    net->brokers[who].gossip = NULL;
    memset(net->brokers[who].links, 0, sizeof(net->brokers[who].links));
}

void lockstep_kill(struct lockstep *net, size_t who)
{
    net->brokers[who].closes_port = true;
    stop(net, who);
    for (size_t i = 0; i < net->count; i++)
        link_ends(net, who, i, GOSSIP_LINK_RESET);
}

void lockstep_vanish(struct lockstep *net, size_t who)
{
    net->brokers[who].closes_port = false;
    stop(net, who);
    for (size_t i = 0; i < net->count; i++) /* the others' ends stay open: nobody tells them */
        MESH_ASSERT(i == who || !is_linked(net, who, i));
}

bool lockstep_knows(struct lockstep *net, size_t who, size_t of)
{
    struct uuid id = lockstep_id(of);

    return gossip_find(net->brokers[who].gossip, &id) != NULL;
}

enum gossip_state lockstep_state(struct lockstep *net, size_t who, size_t of)
{
    struct uuid id = lockstep_id(of);
    const struct gossip_member *member = gossip_find(net->brokers[who].gossip, &id);

    MESH_ASSERT(member != NULL);
    return member->state;
}

bool lockstep_all_agree(struct lockstep *net, void *unused)
{
    const struct lockstep_broker *first = NULL;

    (void)unused;
    for (size_t i = 0; i < net->count; i++) {
        if (net->brokers[i].gossip == NULL) continue;
        if (first == NULL) first = &net->brokers[i];
        if (gossip_members_hash(first->gossip) != gossip_members_hash(net->brokers[i].gossip)) return false;
        for (size_t j = 0; j < net->count && first == &net->brokers[i]; j++)
            if (net->brokers[j].gossip != NULL &&
                (!lockstep_knows(net, i, j) || lockstep_state(net, i, j) != GOSSIP_ALIVE))
                return false;
    }
    return true;
}
