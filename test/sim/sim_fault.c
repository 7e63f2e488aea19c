#include "sim/sim_fault.h"

#include "base/assert.h"
#include "sim/sim_net.h"
#include "sim/sim_sometimes.h"

#include <stdlib.h>
#include <string.h>

#define DRIFT_PPM_HALF  500
#define WALL_S_HALF     100000
#define FRESH_ADDRESSES 1024 /* from here on: addresses that nobody had at the start */

struct sim_faults {
    struct sim *sim;
    const struct sim_fault *list;
    sim_fault_world_fn *apply;
    void *world;
    uint16_t downs[SIM_HOSTS_MAX]; /* faults that keep the host from running */
    uint32_t next_address;
};

static const char *const names[] = {
#define SIM_FAULT_NAME(NAME, name, meaning) name,
    SIM_FAULT_MAP(SIM_FAULT_NAME)
#undef SIM_FAULT_NAME
};

const char *sim_fault_name(enum sim_fault_kind kind)
{
    return names[kind];
}

void sim_fault_format(const struct sim_fault *fault, char *to, size_t size)
{
    snprintf(to, size, "at %.6f s for %.6f s: %s a=%u b=%u value=%llu", (double)fault->at_us / 1e6,
             (double)fault->for_us / 1e6, names[fault->kind], fault->a, fault->b, (unsigned long long)fault->value);
}

struct sim_faults *sim_faults_new(void)
{
    struct sim_faults *faults = calloc(1, sizeof(*faults));

    MESH_ASSERT(faults != NULL);
    return faults;
}

void sim_faults_free(struct sim_faults *faults)
{
    free(faults);
}

/* ---- cuts ---- */

static bool side_of(const struct sim_fault *fault, uint32_t host)
{
    return sim_mix(sim_mix(fault->value, host), 7) >> 40 & 1;
}

/* Whether this fault keeps `from` from reaching `to`. */
static bool is_cutting(const struct sim_fault *fault, uint32_t from, uint32_t to)
{
    switch (fault->kind) {
    case SIM_FAULT_UDP_CUT:
    case SIM_FAULT_TCP_CUT:
    case SIM_FAULT_ISOLATE: return from == fault->a || to == fault->a;
    case SIM_FAULT_PARTITION: return side_of(fault, from) != side_of(fault, to);
    case SIM_FAULT_ONE_WAY: return side_of(fault, from) && !side_of(fault, to);
    case SIM_FAULT_LINK: return (from == fault->a && to == fault->b) || (from == fault->b && to == fault->a);
    case SIM_FAULT_CHAIN: return from + 1 != to && to + 1 != from;
    default: return false;
    }
}

static void change_cuts(struct sim *sim, const struct sim_fault *fault, bool is_begin)
{
    uint32_t count = sim_host_count(sim);
    enum sim_net_traffic traffic = fault->kind == SIM_FAULT_UDP_CUT   ? SIM_NET_UDP
                                   : fault->kind == SIM_FAULT_TCP_CUT ? SIM_NET_TCP
                                                                      : SIM_NET_ALL;

    for (uint32_t from = 0; from < count; from++) {
        for (uint32_t to = 0; to < count; to++) {
            if (from == to || !is_cutting(fault, from, to)) continue;
            (is_begin ? sim_net_cut : sim_net_join)(sim, from, to, traffic);
        }
    }
}

/* ---- hosts that go and come back ---- */

static void go_down(struct sim_faults *faults, const struct sim_fault *fault, uint32_t number)
{
    struct sim_host *host = sim_host_at(faults->sim, number);
    enum sim_stop how = fault->kind == SIM_FAULT_KILL ? SIM_STOP_KILL : SIM_STOP_POWER;

    faults->downs[number]++;
    if ((fault->kind == SIM_FAULT_KILL || fault->kind == SIM_FAULT_POWER) && fault->value > 0)
        sim_host_kill_at_output(host, fault->value, how);
    else
        sim_host_kill(host, how);
}

static void change_disk(struct sim_host *host, enum sim_fault_disk disk)
{
    if (disk == SIM_FAULT_DISK_WIPED) {
        SIM_SOMETIMES("a process came back to a wiped disk");
        sim_host_wipe_disk(host);
    } else if (disk == SIM_FAULT_DISK_RESTORED) {
        sim_host_restore_disk(host);
    }
}

static void come_up(struct sim_faults *faults, const struct sim_fault *fault, uint32_t number)
{
    struct sim_host *host = sim_host_at(faults->sim, number);
    bool is_kill = fault->kind == SIM_FAULT_KILL || fault->kind == SIM_FAULT_POWER;

    if (--faults->downs[number] > 0) return;
    if (sim_host_is_dying(host)) sim_host_kill(host, fault->kind == SIM_FAULT_POWER ? SIM_STOP_POWER : SIM_STOP_KILL);
    sim_host_kill_at_output(host, 0, SIM_STOP_KILL);
    if (sim_host_is_running(host)) return; /* it had nothing to say: the kill did not happen */
    if (is_kill) change_disk(host, (enum sim_fault_disk)fault->b);
    sim_host_start(host);
}

/* Hosts can change addresses only together while both are down. */
static void change_address(struct sim_faults *faults, const struct sim_fault *fault)
{
    struct sim_host *a = sim_host_at(faults->sim, fault->a), *b;
    uint32_t number;

    if (sim_host_is_running(a)) return;
    if (fault->kind == SIM_FAULT_READDRESS) {
        if (FRESH_ADDRESSES + faults->next_address < SIM_ADDRESSES_MAX)
            sim_host_take_address(a, FRESH_ADDRESSES + faults->next_address++);
        return;
    }
    b = sim_host_at(faults->sim, fault->b);
    if (sim_host_is_running(b) || a == b) return;
    number = sim_host_address_number(a);
    sim_host_take_address(a, sim_host_address_number(b));
    sim_host_take_address(b, number);
}

static void begin_or_end_absence(struct sim_faults *faults, const struct sim_fault *fault, bool is_begin)
{
    bool has_two = fault->kind == SIM_FAULT_SWAP && fault->a != fault->b;

    if (is_begin) {
        go_down(faults, fault, fault->a);
        if (has_two) go_down(faults, fault, fault->b);
        return;
    }
    if (fault->kind == SIM_FAULT_READDRESS || fault->kind == SIM_FAULT_SWAP) change_address(faults, fault);
    come_up(faults, fault, fault->a);
    if (has_two) come_up(faults, fault, fault->b);
}

/* ---- one fault begins or ends ---- */

static void change_rate(uint32_t *rate, const struct sim_fault *fault, bool is_begin)
{
    *rate += is_begin ? (uint32_t)fault->value : -(uint32_t)fault->value;
}

static void change_host(struct sim *sim, const struct sim_fault *fault, bool is_begin)
{
    struct sim_host *host = sim_host_at(sim, fault->a);

    switch (fault->kind) {
    case SIM_FAULT_PAUSE: (is_begin ? sim_host_pause : sim_host_resume)(host); break;
    case SIM_FAULT_SUSPEND: (is_begin ? sim_host_suspend : sim_host_wake)(host); break;
    case SIM_FAULT_SLEEP: (is_begin ? sim_host_sleep : sim_host_wake_up)(host); break;
    case SIM_FAULT_BLOCK: (is_begin ? sim_host_block_io : sim_host_unblock_io)(host); break;
    case SIM_FAULT_DRIFT: sim_host_set_drift(host, is_begin ? (int32_t)fault->value - DRIFT_PPM_HALF : 0); break;
    case SIM_FAULT_SLACK: sim_host_set_timer_slack(host, is_begin ? fault->value : 0); break;
    case SIM_FAULT_BACKUP:
        if (is_begin) sim_host_back_up_disk(host);
        break;
    case SIM_FAULT_WALL:
        if (is_begin) sim_host_jump_wall(host, ((int64_t)fault->value - WALL_S_HALF) * (int64_t)SIM_SECOND);
        break;
    default: break;
    }
}

static void change(struct sim_faults *faults, const struct sim_fault *fault, bool is_begin)
{
    struct sim *sim = faults->sim;
    struct sim_net_faults *rates = sim_net_faults(sim);

    switch (fault->kind) {
    case SIM_FAULT_LOSS: change_rate(&rates->loss_ppm, fault, is_begin); break;
    case SIM_FAULT_DUPLICATE: change_rate(&rates->duplicate_ppm, fault, is_begin); break;
    case SIM_FAULT_REPLAY: change_rate(&rates->replay_ppm, fault, is_begin); break;
    case SIM_FAULT_REORDER: change_rate(&rates->reorder_ppm, fault, is_begin); break;
    case SIM_FAULT_FLIP: change_rate(&rates->flip_ppm, fault, is_begin); break;
    case SIM_FAULT_DELAY: rates->delay_us += is_begin ? fault->value : -fault->value; break;
    case SIM_FAULT_CLOG:
        if (is_begin) sim_net_clog(sim, fault->a, fault->b, fault->at_us + fault->for_us);
        break;
    case SIM_FAULT_MTU: sim_net_set_mtu(sim, fault->a, fault->b, is_begin ? (uint16_t)fault->value : 0); break;
    case SIM_FAULT_STREAM_RESET:
        if (is_begin) sim_net_reset_streams(sim, fault->a, fault->b);
        break;
    case SIM_FAULT_KILL:
    case SIM_FAULT_POWER:
    case SIM_FAULT_READDRESS:
    case SIM_FAULT_SWAP: begin_or_end_absence(faults, fault, is_begin); break;
    case SIM_FAULT_WORLD:
        if (faults->apply != NULL) faults->apply(faults->world, fault, is_begin);
        break;
    default:
        change_cuts(sim, fault, is_begin);
        change_host(sim, fault, is_begin);
        break;
    }
}

static void handle(void *user, uint64_t argument)
{
    struct sim_faults *faults = user;
    const struct sim_fault *fault = &faults->list[argument >> 1];
    bool is_begin = !(argument & 1);

    if (sim_is_traced(faults->sim)) {
        char text[160];
        sim_fault_format(fault, text, sizeof(text));
        sim_trace(faults->sim, NULL, "fault %u %s: %s", (unsigned)(argument >> 1), is_begin ? "begins" : "ends", text);
    }
    change(faults, fault, is_begin);
}

void sim_faults_schedule(struct sim_faults *faults, struct sim *sim, const struct sim_fault *list, const bool *keep,
                         size_t count, sim_fault_world_fn *apply, void *world)
{
    *faults = (struct sim_faults){.sim = sim, .list = list, .apply = apply, .world = world};
    for (size_t i = 0; i < count; i++) {
        if (keep != NULL && !keep[i]) continue;
        sim_at(sim, list[i].at_us, handle, faults, i << 1);
        sim_at(sim, list[i].at_us + list[i].for_us, handle, faults, i << 1 | 1);
    }
}
