#include "store_world.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "replication/consensus/store_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define BATCH_MAX 700
#define BODY_MAX  20000
#define SNAPSHOT_MAX 300000

static const struct raft_server self = {{{1}}, {{2}}};

void store_world_fail(struct store_world *world, const char *format, ...)
{
    char text[320];
    va_list arguments;

    if (world->breach[0] != '\0') return;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    snprintf(world->breach, sizeof(world->breach), "%s: %s", world->where, text);
}

/* ---- what bodies, chains and snapshots are made of ---- */

/* What a step under way lends to the store; one for each world, because one's step runs within the other's. */
struct world_scratch {
    struct raft_entry entries[MODEL_ENTRIES_MAX];
    uint8_t bodies[MODEL_ENTRIES_MAX * 400 + BODY_MAX], snapshot[SNAPSHOT_MAX];
};

static uint64_t mix(uint64_t a, uint64_t b)
{
    uint64_t v = (a ^ (b * 0x9e3779b97f4a7c15)) * 0xbf58476d1ce4e5b9;

    return v ^ (v >> 29);
}

static void fill(uint64_t seed, uint8_t *to, size_t size)
{
    for (size_t i = 0; i < size; i++)
        to[i] = (uint8_t)(mix(seed, i / 8) >> (8 * (i % 8)));
}

static void test_chain(const uint8_t previous[RAFT_CHAIN_SIZE], const struct raft_entry *entry, uint8_t ret_chain[RAFT_CHAIN_SIZE])
{
    uint64_t v = mix(mix(entry->index, entry->term), crc32c(entry->body.data, entry->body.size) + (uint64_t)entry->type * 7919);

    for (int i = 0; i < RAFT_CHAIN_SIZE; i += 8) {
        v = mix(v + (uint64_t)i, le_load64(previous + i));
        le_store64(ret_chain + i, v);
    }
}

static void make_entry(const struct model *model, uint64_t index, uint8_t *body, struct raft_entry *ret_entry)
{
    const struct model_entry *entry = &model->entries[index];

    fill(entry->seed, body, entry->size);
    *ret_entry = (struct raft_entry){.index = index, .term = entry->term, .type = RAFT_ENTRY_COMMAND, .body = {body, entry->size}};
    memcpy(ret_entry->chain, entry->chain, RAFT_CHAIN_SIZE);
}

static void set_chain(struct model *model, uint64_t index)
{
    static uint8_t body[BODY_MAX];
    struct raft_entry entry;

    make_entry(model, index, body, &entry);
    test_chain(model->entries[index - 1].chain, &entry, model->entries[index].chain);
}

static struct raft_position position_of(const struct model *model, uint64_t index)
{
    struct raft_position position = {.index = index, .term = model->entries[index].term};

    memcpy(position.chain, model->entries[index].chain, RAFT_CHAIN_SIZE);
    return position;
}

static uint64_t snapshot_seed(const struct raft_position *position)
{
    return le_load64(position->chain) + position->index;
}

/* ---- life ---- */

static struct model *model_new(void)
{
    struct model *model = calloc(1, sizeof(*model));

    MESH_ASSERT(model != NULL);
    return model;
}

void store_world_init(struct store_world *world, struct fs_mem *disk, uint64_t seed)
{
    memset(world, 0, sizeof(*world));
    world->disk = disk;
    world->fs = fs_mem_fs(disk);
    world->before = model_new();
    world->after = model_new();
    world->scratch = malloc(sizeof(*world->scratch));
    MESH_ASSERT(world->scratch != NULL);
    random_init(&world->random, seed);
    world->segment_bytes_max = STORE_BODIES_POSITION + 1000 + random_below(&world->random, 20000);
    snprintf(world->where, sizeof(world->where), "SEED=%llu", (unsigned long long)seed);
}

static void forget_ghosts(struct store_world *world)
{
    for (size_t i = 0; i < world->ghost_count; i++)
        free(world->ghosts[i].entries);
    world->ghost_count = 0;
}

void store_world_deinit(struct store_world *world)
{
    store_world_close(world);
    forget_ghosts(world);
    world->fs->ops->free(world->fs);
    free(world->before);
    free(world->after);
    free(world->scratch);
}

static void note_ghost(struct store_world *world, const struct model *model, uint64_t first, size_t count)
{
    struct ghost *ghost = &world->ghosts[world->ghost_count];

    MESH_ASSERT(world->ghost_count < GHOSTS_MAX);
    ghost->first = first;
    ghost->count = count;
    ghost->entries = malloc(count * sizeof(*ghost->entries));
    MESH_ASSERT(ghost->entries != NULL);
    memcpy(ghost->entries, &model->entries[first], count * sizeof(*ghost->entries));
    world->ghost_count++;
}

void store_world_take_models(struct store_world *world, const struct store_world *from)
{
    *world->before = *from->before;
    *world->after = *from->after;
    forget_ghosts(world);
    for (size_t i = 0; i < from->ghost_count; i++) {
        world->ghosts[i] = from->ghosts[i];
        world->ghosts[i].entries = malloc(from->ghosts[i].count * sizeof(struct model_entry));
        MESH_ASSERT(world->ghosts[i].entries != NULL);
        memcpy(world->ghosts[i].entries, from->ghosts[i].entries, from->ghosts[i].count * sizeof(struct model_entry));
    }
    world->ghost_count = from->ghost_count;
    world->append_first = from->append_first;
    world->segment_bytes_max = from->segment_bytes_max;
    world->breach[0] = '\0';
}

void store_world_close(struct store_world *world)
{
    raft_store_close(world->store);
    world->store = NULL;
}

/* ---- comparing ---- */

static bool is_entry(const struct model_entry *want, const struct raft_entry *got)
{
    static uint8_t body[BODY_MAX];

    if (want->term != got->term || want->size != got->body.size || got->type != RAFT_ENTRY_COMMAND ||
        memcmp(want->chain, got->chain, RAFT_CHAIN_SIZE) != 0)
        return false;
    fill(want->seed, body, want->size);
    return memcmp(body, got->body.data, want->size) == 0;
}

/* How many of the recovered entries are these. */
static size_t equal_entries(const struct model_entry *want, size_t count, const struct raft_entry *got, size_t got_count)
{
    size_t i = 0;

    while (i < count && i < got_count && is_entry(&want[i], &got[i]))
        i++;
    return i;
}

static bool is_snapshot(const struct model_snapshot *want, const struct raft_recovered *got)
{
    return want->position.index == got->snapshot.index && want->position.term == got->snapshot.term &&
           memcmp(want->position.chain, got->snapshot.chain, RAFT_CHAIN_SIZE) == 0;
}

/* The log behind the recovered snapshot is the model's, up to its end; or it breaks off before a hole. */
static bool log_matches(struct store_world *world, const struct model *model, const struct raft_recovered *got)
{
    uint64_t from = got->snapshot.index + 1;
    size_t want = model->last < from ? 0 : (size_t)(model->last - from + 1);
    size_t equal = equal_entries(&model->entries[from], want, got->entries, got->entry_count);

    if (equal != got->entry_count) return false;
    return equal == want || (world->may_be_damaged && got->damaged_until >= model->last);
}

static bool model_matches(struct store_world *world, const struct model *model, const struct raft_recovered *got)
{
    const struct model_snapshot *snapshot =
        world->may_be_damaged && world->report.used_older_snapshot ? &model->snapshot_before : &model->snapshot;

    return got->term == model->term && raft_server_equal(&got->voted_for, &model->voted_for) && is_snapshot(snapshot, got) &&
           (got->damaged_until == model->damaged_until || (world->may_be_damaged && got->damaged_until >= model->damaged_until)) &&
           log_matches(world, model, got);
}

/* The beginning of `before` up to first, and then some of these. The state and snapshot are those before. */
static bool partly_matches(struct store_world *world, uint64_t first, const struct model_entry *entries, size_t count,
                           const struct raft_recovered *got, struct model *ret_found)
{
    const struct model *before = world->before;
    uint64_t from = got->snapshot.index + 1;
    size_t shared = first > from ? (size_t)(first - from) : 0, more;

    if (got->term != before->term || !raft_server_equal(&got->voted_for, &before->voted_for) ||
        !is_snapshot(&before->snapshot, got) || got->damaged_until != before->damaged_until || got->entry_count < shared)
        return false;
    if (equal_entries(&before->entries[from], shared, got->entries, shared) != shared) return false;
    more = got->entry_count == shared ? 0 : equal_entries(entries, count, got->entries + shared, got->entry_count - shared);
    if (shared + more != got->entry_count) return false;
    if (first < from) return false;
    if (ret_found != before) *ret_found = *before;
    memcpy(&ret_found->entries[first], entries, more * sizeof(*entries));
    ret_found->last = first + more - 1;
    return true;
}

/* The append under way, or one that found no space. */
static bool find_part(struct store_world *world, const struct raft_recovered *got)
{
    uint64_t first = world->append_first;

    if (first != 0 && partly_matches(world, first, &world->after->entries[first], (size_t)(world->after->last + 1 - first), got, world->before))
        return true;
    for (size_t i = 0; i < world->ghost_count; i++) {
        const struct ghost *ghost = &world->ghosts[i];
        if (partly_matches(world, ghost->first, ghost->entries, ghost->count, got, world->before)) return true;
    }
    return false;
}

static void check_snapshot_bytes(struct store_world *world, const struct model_snapshot *snapshot)
{
    static uint8_t want[SNAPSHOT_MAX], got[SNAPSHOT_MAX];
    struct raft_position position;
    struct raft_config config;
    uint64_t size = 0, offset = 0;
    size_t read = 0;
    int err;

    if (snapshot->position.index == 0) return;
    if (raft_store_snapshot_info(world->store, &position, &config, &size) != 0 || size != snapshot->size ||
        position.index != snapshot->position.index || config.voter_count != 1) {
        store_world_fail(world, "the snapshot's head is not what was stored (%llu bytes)", (unsigned long long)size);
        return;
    }
    fill(snapshot_seed(&snapshot->position), want, (size_t)size);
    while (offset < size) {
        size_t part = 1 + (size_t)random_below(&world->random, 100000);
        err = raft_store_snapshot_read(world->store, position.index, offset, got, part, &read);
        if (err == MESH_ENOMEM) return; /* the test's doing */
        if (err != 0 || read == 0 ||
            memcmp(got, want + offset, read) != 0) {
            store_world_fail(world, "the snapshot's bytes are not what was stored (offset %llu)", (unsigned long long)offset);
            return;
        }
        offset += read;
    }
}

static void judge_recovered(struct store_world *world, const struct raft_recovered *got)
{
    const struct raft_store_report *report = &world->report;

    if (model_matches(world, world->after, got))
        *world->before = *world->after;
    else if (!model_matches(world, world->before, got) && !find_part(world, got))
        store_world_fail(world, "recovered term %llu, snapshot %llu, %zu entries, hole until %llu; promised term %llu, snapshot %llu, "
                         "last %llu (or term %llu, snapshot %llu, last %llu)",
                         (unsigned long long)got->term, (unsigned long long)got->snapshot.index, got->entry_count,
                         (unsigned long long)got->damaged_until, (unsigned long long)world->before->term,
                         (unsigned long long)world->before->snapshot.position.index, (unsigned long long)world->before->last,
                         (unsigned long long)world->after->term, (unsigned long long)world->after->snapshot.position.index,
                         (unsigned long long)world->after->last);
    if (!world->may_be_damaged && report->used_older_snapshot)
        store_world_fail(world, "a good disk is called damaged");
    if (got->committed > got->snapshot.index + got->entry_count) store_world_fail(world, "more is committed than is there");
}

int store_world_open(struct store_world *world)
{
    const struct raft_recovered *got;
    char message[400];
    int err = raft_store_open(world->fs, "consensus", &self, test_chain, &world->store, &got, &world->report, message, sizeof(message));

    if (err != 0) {
        if (err != MESH_EIO && err != MESH_ENOMEM && err != MESH_EFULL && !world->may_be_damaged)
            store_world_fail(world, "refused: %s", message);
        if (message[0] == '\0') store_world_fail(world, "refused without a word");
        return err;
    }
    world->store->segment_bytes_max = world->segment_bytes_max;
    judge_recovered(world, got);
    world->recovered_last = got->snapshot.index + got->entry_count;
    world->recovered_damaged_until = got->damaged_until;
    check_snapshot_bytes(world, world->report.used_older_snapshot ? &world->before->snapshot_before : &world->before->snapshot);
    *world->after = *world->before;
    world->append_first = 0;
    return 0;
}

/* ---- steps ---- */

static void settle(struct store_world *world, int err)
{
    if (err == 0)
        *world->before = *world->after;
    else if (raft_store_error(world->store) == 0)
        *world->after = *world->before;
    if (err == 0 || raft_store_error(world->store) == 0) world->append_first = 0;
}

int store_world_append(struct store_world *world, uint64_t first, size_t count, bool is_first_the_same)
{
    struct raft_entry *entries = world->scratch->entries;
    struct model *after = world->after;
    uint8_t *body = world->scratch->bodies;
    uint64_t last = after->last;
    int err;

    if (first + count > MODEL_ENTRIES_MAX) return 0;
    for (size_t i = 0; i < count; i++) {
        struct model_entry *entry = &after->entries[first + i];
        if (i > 0 || !is_first_the_same || first > last || entry->term != after->term) {
            entry->seed = random_next(&world->random);
            entry->size = count < 20 && random_below(&world->random, 30) == 0 ? (uint32_t)random_below(&world->random, BODY_MAX / 20)
                                                                              : (uint32_t)random_below(&world->random, 300);
            entry->term = after->term == 0 ? 1 : after->term;
        }
        set_chain(after, first + i);
    }
    for (size_t i = 0; i < count; i++) {
        make_entry(after, first + i, body, &entries[i]);
        body += entries[i].body.size;
    }
    after->last = first + count - 1;
    world->append_first = first;
    if (random_below(&world->random, 3) == 0) raft_store_note_committed(world->store, after->last - random_below(&world->random, 5) % after->last);
    err = raft_store_append(world->store, entries, count);
    if (err == MESH_EFULL && world->store->error == 0) {
        if (world->ghost_count < GHOSTS_MAX) note_ghost(world, after, first, count);
        if (first <= last) { /* the cut may have been done: the store says */
            *world->after = *world->before;
            world->after->last = world->store->last;
            *world->before = *world->after;
        }
    }
    if (err == 0) forget_ghosts(world);
    settle(world, err);
    return err;
}

int store_world_vote(struct store_world *world)
{
    struct model *after = world->after;
    int err;

    after->term += random_below(&world->random, 3);
    if (after->term != world->before->term || uuid_is_zero(&after->voted_for.broker)) {
        memset(&after->voted_for, 0, sizeof(after->voted_for));
        after->voted_for.broker.bytes[0] = (uint8_t)random_below(&world->random, 4);
        after->voted_for.dir.bytes[0] = after->voted_for.broker.bytes[0];
    }
    err = raft_store_set_state(world->store, after->term, &after->voted_for, after->damaged_until);
    settle(world, err);
    return err;
}

static struct raft_config a_config(void)
{
    struct raft_config config = {.voter_count = 1};

    config.voters[0] = self;
    return config;
}

static void new_snapshot(struct store_world *world, uint64_t index)
{
    struct model *after = world->after;

    after->snapshot_before = after->snapshot;
    after->snapshot.position = position_of(after, index);
    after->snapshot.size = random_below(&world->random, 6) == 0 ? 60000 + random_below(&world->random, 150000) : random_below(&world->random, 3000);
}

int store_world_snapshot(struct store_world *world, uint64_t index)
{
    uint8_t *bytes = world->scratch->snapshot;
    struct raft_config config = a_config();
    struct model_snapshot *snapshot = &world->after->snapshot;
    uint64_t offset = 0;
    bool is_stepwise = index % 2 == 0, is_whole = false;
    int err;

    new_snapshot(world, index);
    fill(snapshot_seed(&snapshot->position), bytes, (size_t)snapshot->size);
    err = raft_store_snapshot_begin(world->store, &snapshot->position, &config);
    while (err == 0 && offset < snapshot->size) {
        uint64_t part = 1 + random_below(&world->random, 100000);
        if (part > snapshot->size - offset) part = snapshot->size - offset;
        err = raft_store_snapshot_write(world->store, slice_of(bytes + offset, (size_t)part));
        if (err == 0 && is_stepwise) err = raft_store_snapshot_sync(world->store);
        offset += part;
    }
    while (err == 0 && is_stepwise && !is_whole)
        err = raft_store_snapshot_check(world->store, 100000, &is_whole);
    if (err == 0) err = raft_store_snapshot_end(world->store);
    settle(world, err);
    return err;
}

/* In chunks; a chunk that finds no space is sent once more. */
int store_world_receive(struct store_world *world, uint64_t index, bool is_same_history)
{
    uint8_t *bytes = world->scratch->snapshot;
    struct model *after = world->after;
    struct raft_config config = a_config();
    uint64_t offset = 0;
    int err = 0;

    if (!is_same_history || index > after->last) {
        after->entries[index] = (struct model_entry){.seed = random_next(&world->random), .term = after->term == 0 ? 1 : after->term};
        set_chain(after, index);
        after->last = index;
    }
    new_snapshot(world, index);
    fill(snapshot_seed(&after->snapshot.position), bytes, (size_t)after->snapshot.size);
    for (bool is_last = false; err == 0 && !is_last;) {
        uint64_t part = random_below(&world->random, 100000);
        if (part > after->snapshot.size - offset) part = after->snapshot.size - offset;
        is_last = offset + part == after->snapshot.size;
        err = raft_store_snapshot_chunk(world->store, &after->snapshot.position, &config, offset, slice_of(bytes + offset, (size_t)part),
                                        after->snapshot.size, is_last);
        if (err == MESH_EFULL && random_below(&world->random, 2) == 0)
            err = raft_store_snapshot_chunk(world->store, &after->snapshot.position, &config, offset,
                                            slice_of(bytes + offset, (size_t)part), after->snapshot.size, is_last);
        offset += part;
    }
    if (err == 0) forget_ghosts(world);
    settle(world, err);
    return err;
}

int store_world_step(struct store_world *world)
{
    struct random *random = &world->random;
    uint64_t last = world->after->last, snapshot = world->after->snapshot.position.index, choice = random_below(random, 100);
    int err;

    if (choice < 50) return store_world_append(world, last + 1, 1 + (size_t)random_below(random, 6), false);
    if (choice < 52) return store_world_append(world, last + 1, 1 + (size_t)random_below(random, BATCH_MAX - 1), false);
    if (choice < 62 && last > snapshot)
        return store_world_append(world, last - random_below(random, last - snapshot < 20 ? last - snapshot : 20),
                                  1 + (size_t)random_below(random, 4), random_below(random, 2) == 0);
    if (choice < 64 && last > snapshot)
        return store_world_append(world, snapshot + 1 + random_below(random, last - snapshot), 1 + (size_t)random_below(random, 4),
                                  random_below(random, 2) == 0);
    if (choice < 80) return store_world_vote(world);
    if (choice < 90 && last > snapshot) return store_world_snapshot(world, snapshot + 1 + random_below(random, last - snapshot));
    if (choice < 92 && last > snapshot)
        return store_world_receive(world, snapshot + 1 + random_below(random, last - snapshot), random_below(random, 2) == 0);
    if (choice < 94 && last + 30 < MODEL_ENTRIES_MAX) return store_world_receive(world, last + 1 + random_below(random, 20), false);
    if (choice < 97) {
        store_world_close(world);
        err = store_world_open(world);
        if (err != 0) return err;
        if (world->report.torn_bytes != 0) store_world_fail(world, "torn after a clean close");
    }
    return 0;
}

int store_world_refill(struct store_world *world, const struct model *whole)
{
    struct raft_entry *entries = world->scratch->entries;
    uint8_t *body = world->scratch->bodies;
    size_t count = 0;
    int err = 0;

    *world->after = *whole;
    for (uint64_t index = world->store->last + 1; index <= whole->last; index++) {
        make_entry(whole, index, body, &entries[count]);
        body += entries[count++].body.size;
    }
    if (count > 0) err = raft_store_append(world->store, entries, count);
    if (err == 0) {
        world->after->damaged_until = 0;
        err = raft_store_set_state(world->store, whole->term, &whole->voted_for, 0);
    }
    settle(world, err);
    return err;
}
