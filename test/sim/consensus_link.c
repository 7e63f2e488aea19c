#include "sim/consensus_link.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "sim/sim_sometimes.h"

#include <stdlib.h>

#define DIAL_TIMEOUT_US SIM_SECOND
#define RETRY_US        20000u
#define SILENT_US       SIM_SECOND    /* nothing heard for so long: the link is made anew, it may be half open */
#define OUT_BYTES_MAX   (256u << 10)  /* that wait for a stream; what is more is lost */
#define FRAME_HEADER    16            /* size, a sum over it, and one over the payload */
#define GREETING_SIZE   (3 * UUID_SIZE + 8) /* the speaker's broker and disk, the listener's broker, the speaker's boot */
#define FRAME_MAX       (1u << 20)

struct inbound {
    struct list_node node;
    uint64_t stream;
    bool is_proven;
    struct raft_server from;
    struct buffer bytes;
};

uint32_t consensus_host_of(const struct uuid *broker)
{
    return le_load32(broker->bytes);
}

void consensus_links_init(struct consensus_links *links, struct sim_host *host, const struct raft_server *self,
                          const struct consensus_mail_faults *faults)
{
    *links = (struct consensus_links){.host = host, .self = *self, .faults = faults};
    links->boot = 1 + random_next(sim_host_random(host)) / 2;
    for (uint32_t i = 0; i < CONSENSUS_HOSTS_MAX; i++) {
        links->out[i].host = i;
        links->out[i].asked_us = SIM_NEVER;
    }
    list_init(&links->inbound);
}

static void free_inbound(struct inbound *inbound)
{
    list_remove(&inbound->node);
    buffer_deinit(&inbound->bytes);
    free(inbound);
}

void consensus_links_deinit(struct consensus_links *links)
{
    list_for_each_safe(node, &links->inbound)
        free_inbound(container_of(node, struct inbound, node));
    for (uint32_t i = 0; i < CONSENSUS_HOSTS_MAX; i++) {
        buffer_deinit(&links->out[i].bytes);
        buffer_deinit(&links->out[i].late);
    }
}

/* ---- speaking ---- */

static void out_ends(struct consensus_links *links, struct consensus_out *out)
{
    out->stream = 0;
    out->is_open = false;
    buffer_clear(&out->bytes);
    out->retry_us = sim_host_now_us(links->host) + RETRY_US + random_below(sim_host_random(links->host), RETRY_US);
}

static void flush(struct consensus_links *links, struct consensus_out *out)
{
    size_t taken;

    if (!out->is_open || out->bytes.size == 0) return;
    taken = sim_stream_write(links->host, out->stream, buffer_slice(&out->bytes));
    buffer_consume(&out->bytes, taken);
}

static void put_frame(struct buffer *to, struct slice payload)
{
    uint8_t header[FRAME_HEADER];

    le_store32(header, (uint32_t)payload.size);
    le_store32(header + 4, (uint32_t)sim_mix(payload.size, 5));
    le_store64(header + 8, sim_hash_bytes(5, payload.data, payload.size));
    MESH_ASSERT(buffer_append(to, header, sizeof(header)) == 0);
    MESH_ASSERT(buffer_append(to, payload.data, payload.size) == 0);
}

/* False: there is no link now. */
static bool be_linked(struct consensus_links *links, struct consensus_out *out, const struct uuid *broker)
{
    uint64_t now_us = sim_host_now_us(links->host);
    uint8_t greeting[GREETING_SIZE];
    struct net_address address;

    if (out->stream != 0 && out->asked_us != SIM_NEVER && now_us >= out->asked_us + SILENT_US) {
        SIM_SOMETIMES("a link to a silent host was made anew");
        sim_stream_abort(links->host, out->stream);
        out_ends(links, out);
        out->retry_us = 0;
    }
    if (out->stream != 0) return true;
    if (now_us < out->retry_us) return false;
    address = sim_host_address(sim_host_at(sim_host_sim(links->host), out->host));
    out->stream = sim_connect(links->host, &address, DIAL_TIMEOUT_US, out);
    if (out->stream == 0) return false; /* this process has just died */
    out->asked_us = out->dialled_us = now_us;
    memcpy(greeting, links->self.broker.bytes, UUID_SIZE);
    memcpy(greeting + UUID_SIZE, links->self.dir.bytes, UUID_SIZE);
    memcpy(greeting + 2 * UUID_SIZE, broker->bytes, UUID_SIZE);
    le_store64(greeting + 3 * UUID_SIZE, links->boot);
    put_frame(&out->bytes, slice_of(greeting, sizeof(greeting)));
    return true;
}

static void send_one(struct consensus_links *links, struct consensus_out *out, struct slice message)
{
    struct random *random = sim_host_random(links->host);

    if (sim_random_chance(random, links->faults->drop_ppm)) {
        links->lost++;
        return;
    }
    if (out->late.size == 0 && sim_random_chance(random, links->faults->late_ppm)) {
        SIM_SOMETIMES("a message was overtaken by later ones");
        put_frame(&out->late, message);
        return;
    }
    put_frame(&out->bytes, message);
    if (sim_random_chance(random, links->faults->double_ppm)) {
        SIM_SOMETIMES("a message came twice");
        put_frame(&out->bytes, message);
    }
    if (out->late.size > 0 && random_below(random, 4) == 0) {
        MESH_ASSERT(buffer_append(&out->bytes, out->late.data, out->late.size) == 0);
        buffer_clear(&out->late);
    }
}

void consensus_links_send(struct consensus_links *links, const struct raft_server *to, struct slice message)
{
    uint32_t number = consensus_host_of(&to->broker);
    struct consensus_out *out = &links->out[number % CONSENSUS_HOSTS_MAX];

    MESH_ASSERT(number < sim_host_count(sim_host_sim(links->host)));
    MESH_ASSERT(message.size <= FRAME_MAX);
    links->sent++;
    if (!be_linked(links, out, &to->broker) || out->bytes.size + message.size > OUT_BYTES_MAX) {
        links->lost++;
        return;
    }
    if (out->asked_us == SIM_NEVER) out->asked_us = sim_host_now_us(links->host);
    send_one(links, out, message);
    links->dirty += !out->is_dirty;
    out->is_dirty = true;
}

void consensus_links_flush(struct consensus_links *links)
{
    for (struct consensus_out *out = links->out; links->dirty > 0; out++) {
        if (!out->is_dirty) continue;
        out->is_dirty = false;
        links->dirty--;
        flush(links, out);
    }
}

static bool is_out(const struct consensus_links *links, const void *user)
{
    return (const char *)user >= (const char *)links->out && (const char *)user < (const char *)(links->out + CONSENSUS_HOSTS_MAX);
}

void consensus_links_writable(struct consensus_links *links, uint64_t stream)
{
    struct consensus_out *out = sim_stream_user(links->host, stream);

    if (is_out(links, out)) flush(links, out);
}

/* ---- listening ---- */

void consensus_links_opened(struct consensus_links *links, uint64_t stream, bool is_inbound)
{
    struct inbound *inbound;

    if (!is_inbound) {
        struct consensus_out *out = sim_stream_user(links->host, stream);
        out->is_open = true;
        flush(links, out);
        return;
    }
    inbound = calloc(1, sizeof(*inbound));
    MESH_ASSERT(inbound != NULL);
    inbound->stream = stream;
    list_push_back(&links->inbound, &inbound->node);
    sim_stream_set_user(links->host, stream, inbound);
}

void consensus_links_closed(struct consensus_links *links, uint64_t stream)
{
    void *user = sim_stream_user(links->host, stream);

    if (is_out(links, user))
        out_ends(links, user);
    else if (user != NULL)
        free_inbound(user);
}

/* It comes back as another process, maybe elsewhere: what leads to the one before leads nowhere. */
static void note_boot(struct consensus_links *links, struct consensus_out *out, uint64_t boot)
{
    if (out->boot != 0 && out->boot != boot && out->stream != 0) {
        sim_stream_abort(links->host, out->stream);
        out_ends(links, out);
    }
    out->boot = boot;
}

/* The other end has dialled: maybe because it hears nothing of what goes this way, though it is heard. */
static void leave_if_unheard(struct consensus_links *links, struct consensus_out *out)
{
    if (out->stream == 0 || sim_host_now_us(links->host) < out->dialled_us + SILENT_US) return;
    sim_stream_abort(links->host, out->stream);
    out_ends(links, out);
}

/* False: this is not for us, or from nobody. */
static bool take_greeting(struct consensus_links *links, struct inbound *inbound, struct slice greeting)
{
    if (greeting.size != GREETING_SIZE || memcmp(greeting.data + 2 * UUID_SIZE, links->self.broker.bytes, UUID_SIZE) != 0) {
        SIM_SOMETIMES("somebody else was dialled at an address");
        return false;
    }
    memcpy(inbound->from.broker.bytes, greeting.data, UUID_SIZE);
    memcpy(inbound->from.dir.bytes, greeting.data + UUID_SIZE, UUID_SIZE);
    inbound->is_proven = true;
    leave_if_unheard(links, &links->out[consensus_host_of(&inbound->from.broker) % CONSENSUS_HOSTS_MAX]);
    note_boot(links, &links->out[consensus_host_of(&inbound->from.broker) % CONSENSUS_HOSTS_MAX], le_load64(greeting.data + 3 * UUID_SIZE));
    return true;
}

static void hang_up(struct consensus_links *links, struct inbound *inbound)
{
    sim_stream_abort(links->host, inbound->stream);
    free_inbound(inbound);
}

/* Takes the whole frames at the front of `bytes`. False: the link is gone. */
static bool take_frames(struct consensus_links *links, struct inbound *inbound, struct slice bytes, size_t *ret_used)
{
    struct slice payload;
    size_t at = 0;

    while (bytes.size - at >= FRAME_HEADER) {
        uint32_t size = le_load32(bytes.data + at);
        bool is_size_good = size <= FRAME_MAX && (uint32_t)sim_mix(size, 5) == le_load32(bytes.data + at + 4);
        if (is_size_good && bytes.size - at < FRAME_HEADER + (size_t)size) break;
        payload = slice_of(bytes.data + at + FRAME_HEADER, size);
        if (!is_size_good || sim_hash_bytes(5, payload.data, size) != le_load64(bytes.data + at + 8)) {
            SIM_SOMETIMES("a link broke over damaged bytes");
            hang_up(links, inbound);
            return false;
        }
        if (inbound->is_proven) {
            links->out[consensus_host_of(&inbound->from.broker) % CONSENSUS_HOSTS_MAX].asked_us = SIM_NEVER;
            links->receive(links->user, &inbound->from, payload);
        } else if (!take_greeting(links, inbound, payload)) {
            hang_up(links, inbound);
            return false;
        }
        at += FRAME_HEADER + (size_t)size;
    }
    *ret_used = at;
    return true;
}

void consensus_links_bytes(struct consensus_links *links, uint64_t stream, struct slice bytes)
{
    struct inbound *inbound = sim_stream_user(links->host, stream);
    size_t used;

    if (inbound == NULL || is_out(links, inbound)) return; /* nothing comes the other way */
    if (inbound->bytes.size == 0) {
        if (take_frames(links, inbound, bytes, &used)) MESH_ASSERT(buffer_append(&inbound->bytes, bytes.data + used, bytes.size - used) == 0);
        return;
    }
    MESH_ASSERT(buffer_append(&inbound->bytes, bytes.data, bytes.size) == 0);
    if (take_frames(links, inbound, buffer_slice(&inbound->bytes), &used)) buffer_consume(&inbound->bytes, used);
}
