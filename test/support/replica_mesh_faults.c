/* What goes wrong in the mesh of replicas, and how it is made well again. */
#include "support/replica_mesh_internal.h"

enum heal_what { HEAL_CUT, HEAL_ISOLATED, HEAL_DEAF };

static uint64_t draw(struct replica_mesh *mesh, uint64_t limit)
{
    return random_below(&mesh->fault_random, limit);
}

static int draw_broker(struct replica_mesh *mesh)
{
    return (int)draw(mesh, (uint64_t)mesh->broker_count);
}

/* The coordinator looks some time after it has heard nothing. */
static void will_be_missed(struct replica_mesh *mesh, int b)
{
    mesh_schedule(mesh, 20000 + draw(mesh, 80000), (struct mesh_event){.type = EVENT_FENCE_CHECK, .broker = (uint8_t)b});
}

static void crash(struct replica_mesh *mesh, int b, bool is_power)
{
    if (!mesh->brokers[b].is_up) return;
    mesh_trace(mesh, "b%d: %s", b, is_power ? "loses power" : "is killed");
    mesh_broker_stop(mesh, b, is_power);
    will_be_missed(mesh, b);
    mesh_schedule(mesh, 1000 + draw(mesh, draw(mesh, 2) == 0 ? 10000 : 200000), (struct mesh_event){.type = EVENT_RESTART, .broker = (uint8_t)b});
}

/* One disk in all: what is acknowledged lies on two at least. */
static void wipe(struct replica_mesh *mesh, int b)
{
    if (mesh->was_wiped || !mesh->brokers[b].is_up || mesh->options.mode == PARTITION_MODE_QUORUM || mesh->min_insync < 2) return;
    mesh->was_wiped = true;
    crash(mesh, b, false);
    mesh->brokers[b].is_wiped = true;
    for (int p = 0; p < mesh->partition_count; p++)
        replica_log_empty(&mesh->brokers[b].logs[p], 0, -1);
}

/* Where only the kernel has what counts, a machine that dies loses some of it: as much as a wiped disk, and as rarely. */
static void lose_power(struct replica_mesh *mesh, int b)
{
    if (mesh->options.is_async && (mesh->was_wiped || !mesh->brokers[b].is_up || mesh->min_insync < 2)) return;
    if (mesh->options.is_async) mesh->was_wiped = mesh->brokers[b].is_lossy = true;
    crash(mesh, b, true);
}

static void break_links(struct replica_mesh *mesh, int a, int b)
{
    mesh_disconnect(mesh, mesh_link_of(mesh, a, b), false);
    mesh_disconnect(mesh, mesh_link_of(mesh, b, a), false);
}

static void cut(struct replica_mesh *mesh, int a, int b, bool is_cut)
{
    if (a == b) return;
    if (is_cut) {
        mesh->cut[a] |= 1u << b;
        mesh->cut[b] |= 1u << a;
        break_links(mesh, a, b);
    } else {
        mesh->cut[a] &= ~(1ull << b);
        mesh->cut[b] &= ~(1ull << a);
    }
}

static void heal_later(struct replica_mesh *mesh, enum heal_what what, int a, int b)
{
    mesh_schedule(mesh, 5000 + draw(mesh, draw(mesh, 2) == 0 ? 20000 : 250000),
                  (struct mesh_event){.type = EVENT_HEAL, .broker = (uint8_t)a, .partition = (uint8_t)b, .number = (uint32_t)what});
}

static void make_deaf(struct replica_mesh *mesh, int b)
{
    mesh_trace(mesh, "b%d: does not reach the coordinator", b);
    mesh->brokers[b].is_deaf = true;
    will_be_missed(mesh, b);
    heal_later(mesh, HEAL_DEAF, b, 0);
}

static void isolate(struct replica_mesh *mesh, int b)
{
    mesh_trace(mesh, "b%d: is isolated", b);
    for (int other = 0; other < mesh->broker_count; other++)
        cut(mesh, b, other, true);
    heal_later(mesh, HEAL_ISOLATED, b, 0);
    if (draw(mesh, 4) != 0) make_deaf(mesh, b);
}

/* Two groups, one of them without the coordinator. */
static void split(struct replica_mesh *mesh)
{
    uint32_t group = 1 + (uint32_t)draw(mesh, (1u << mesh->broker_count) - 2);

    mesh_trace(mesh, "the brokers %x are apart, without the coordinator", group);
    for (int a = 0; a < mesh->broker_count; a++) {
        if (!((group >> a) & 1)) continue;
        for (int b = 0; b < mesh->broker_count; b++)
            if (!((group >> b) & 1)) cut(mesh, a, b, true);
        heal_later(mesh, HEAL_ISOLATED, a, 0);
        make_deaf(mesh, a);
    }
}

static void hear_again(struct replica_mesh *mesh, int b)
{
    if (!mesh->brokers[b].is_deaf) return;
    mesh->brokers[b].is_deaf = false;
    if (!mesh->brokers[b].is_up) return;
    mesh_schedule(mesh, 1000 + draw(mesh, 5000), (struct mesh_event){.type = EVENT_UNFENCE, .broker = (uint8_t)b, .life = mesh->brokers[b].life});
    mesh_schedule(mesh, 500 + draw(mesh, 5000), (struct mesh_event){.type = EVENT_IMAGE, .broker = (uint8_t)b, .life = mesh->brokers[b].life});
}

void mesh_heal_one(struct replica_mesh *mesh, const struct mesh_event *event)
{
    switch ((enum heal_what)event->number) {
    case HEAL_CUT: cut(mesh, event->broker, event->partition, false); break;
    case HEAL_ISOLATED:
        for (int other = 0; other < mesh->broker_count; other++)
            cut(mesh, event->broker, other, false);
        break;
    case HEAL_DEAF: hear_again(mesh, event->broker); break;
    }
}

void mesh_heal_all(struct replica_mesh *mesh)
{
    mesh->is_healed = true;
    mesh->slow_until_us = 0;
    for (int b = 0; b < mesh->broker_count; b++) {
        mesh->cut[b] = 0;
        hear_again(mesh, b);
        if (!mesh->brokers[b].is_up)
            mesh_schedule(mesh, 1000 + draw(mesh, 20000), (struct mesh_event){.type = EVENT_RESTART, .broker = (uint8_t)b});
        else
            mesh_schedule(mesh, 20000 + draw(mesh, 20000),
                          (struct mesh_event){.type = EVENT_UNFENCE, .broker = (uint8_t)b, .life = mesh->brokers[b].life});
    }
}

static void fence_wrongly(struct replica_mesh *mesh, int b)
{
    if (!mesh->brokers[b].is_up || !mesh->brokers[b].is_registered) return;
    mesh_trace(mesh, "court: fences b%d, which is well", b);
    court_fence(&mesh->court, b);
    mesh_tell_images(mesh);
    mesh_schedule(mesh, 1000 + draw(mesh, 30000), (struct mesh_event){.type = EVENT_UNFENCE, .broker = (uint8_t)b, .life = mesh->brokers[b].life});
}

static void replace(struct replica_mesh *mesh, int b)
{
    int p = (int)draw(mesh, (uint64_t)mesh->partition_count);
    uint32_t was = mesh->court.last;

    court_replace(&mesh->court, p, b);
    if (mesh->court.last == was) return;
    mesh_trace(mesh, "court: p%d of b%d is removed and added again", p, b);
    mesh_tell_images(mesh);
}

static void trim(struct replica_mesh *mesh, int b)
{
    struct mesh_broker *broker = &mesh->brokers[b];
    int p = (int)draw(mesh, (uint64_t)mesh->partition_count);

    if (!broker->is_up || !replica_leads(&broker->replicas[p])) return;
    mesh_broker_trim(mesh, b, p);
    mesh_broker_turn(mesh, b);
}

static void stall(struct replica_mesh *mesh, int b)
{
    mesh->slow_broker = b;
    mesh->slow_until_us = mesh->now_us + draw(mesh, 200000);
}

void mesh_fault(struct replica_mesh *mesh)
{
    int a = draw_broker(mesh), b = draw_broker(mesh);
    uint32_t kind = 1u << draw(mesh, 13);

    if (mesh->is_healed) return;
    for (int i = 0; i < 4 && (kind & mesh->fault_mask) == 0; i++) /* few kinds: more of each */
        kind = 1u << draw(mesh, 13);
    mesh_schedule(mesh, 2000 + draw(mesh, 40000), (struct mesh_event){.type = EVENT_FAULT});
    if (mesh->options.is_async && kind == MESH_FAULT_POWER_ALL) kind = MESH_FAULT_KILL;
    switch (kind & mesh->fault_mask) {
    case MESH_FAULT_KILL: crash(mesh, a, false); break;
    case MESH_FAULT_POWER: lose_power(mesh, a); break;
    case MESH_FAULT_POWER_ALL:
        for (int i = 0; i < mesh->broker_count && draw(mesh, 8) != 0; i++)
            crash(mesh, i, true);
        break;
    case MESH_FAULT_WIPE: wipe(mesh, a); break;
    case MESH_FAULT_CUT:
        mesh_trace(mesh, "b%d and b%d do not reach each other", a, b);
        cut(mesh, a, b, true);
        heal_later(mesh, HEAL_CUT, a, b);
        break;
    case MESH_FAULT_ISOLATE: isolate(mesh, a); break;
    case MESH_FAULT_DEAF: make_deaf(mesh, a); break;
    case MESH_FAULT_RESET: break_links(mesh, a, b); break;
    case MESH_FAULT_FENCE: fence_wrongly(mesh, a); break;
    case MESH_FAULT_REPLACE: replace(mesh, a); break;
    case MESH_FAULT_TRIM: trim(mesh, a); break;
    case MESH_FAULT_STALL: stall(mesh, a); break;
    case MESH_FAULT_SPLIT: split(mesh); break;
    default: break;
    }
}
