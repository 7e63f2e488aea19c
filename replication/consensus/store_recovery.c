/* consensus/store_recovery.c - what happens before the first change: the newest good snapshot, and every entry behind it.
 *
 * The first entry that cannot be read is *torn* when nothing vouches for it: it was being written when the machine stopped, so
 * nobody was told that it is there, and it is cut. Vouching are: the mark; the header of any later entry, which says how far
 * the log was durable when it was written; the name of a later segment; a snapshot, even a damaged one. An entry that is
 * vouched for is *damaged*: entries before it are given to the core, the hole is remembered in the state, and what is on the
 * disk stays as it is until a leader has sent it anew (PROTOCOLS 3.1). */
#include "replication/consensus/store_scan.h"

#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define NEW_SERVER                                                                                                                \
    "give this broker an empty data directory: the others take it in as a new server; or, if it decided alone, restore the "      \
    "directory from a copy"

#define SNAPSHOTS_MAX 8

struct recovery {
    struct raft_store *store;
    struct raft_store_report *report;
    char *message;
    size_t message_size;
    struct store_mark mark;
    uint64_t snapshots[SNAPSHOTS_MAX]; /* the newest first; 0: none */
    bool has_others;       /* files that an empty store does not have */
    bool is_new;           /* made just now: both copies of the state are durable, and so is their name */
    struct store_scan scan;
};

static int refuse(struct recovery *recovery, int err, const char *format, ...) __attribute__((format(printf, 3, 4)));

static int refuse(struct recovery *recovery, int err, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(recovery->message, recovery->message_size, format, arguments);
    va_end(arguments);
    return err;
}

/* ---- names ---- */

static bool parse_number(const char *name, const char *prefix, uint64_t *ret_number)
{
    size_t size = strlen(prefix);
    char *end;

    if (strncmp(name, prefix, size) != 0 || name[size] < '0' || name[size] > '9') return false;
    *ret_number = strtoull(name + size, &end, 10);
    return *end == '\0' && end - name == (long)size + 20 && *ret_number < UINT64_MAX / 2;
}

static void note_snapshot(struct recovery *recovery, uint64_t number)
{
    for (int i = 0; i < SNAPSHOTS_MAX; i++) {
        uint64_t other = recovery->snapshots[i];
        if (number <= other) continue;
        recovery->snapshots[i] = number;
        number = other;
    }
}

static int note_name(void *user, const char *name, bool is_dir)
{
    struct recovery *recovery = user;
    struct raft_store *store = recovery->store;
    uint64_t number;
    size_t at;
    int err;

    if (is_dir) return 0;
    if (parse_number(name, STORE_PREFIX_SNAPSHOT, &number) && number != 0) {
        recovery->has_others = true;
        note_snapshot(recovery, number);
    }
    if (!parse_number(name, STORE_PREFIX_LOG, &number) || number == 0) return 0;
    recovery->has_others = true;
    at = store->segment_count;
    err = store_add_segment(store, at == 0 ? number : store->segments[at - 1] + 1); /* room; the place comes now */
    if (err != 0) return err;
    for (; at > 0 && store->segments[at - 1] > number; at--)
        store->segments[at] = store->segments[at - 1];
    store->segments[at] = number;
    return 0;
}

/* ---- the directory and the state ---- */

static int make_directory(struct raft_store *store)
{
    char parent[STORE_DIRECTORY_MAX + 1];
    char *slash;
    int err = store->fs->ops->mkdir(store->fs, store->directory);

    if (err != 0 && err != MESH_EEXISTS) return err;
    snprintf(parent, sizeof(parent), "%s", store->directory);
    slash = strrchr(parent, '/');
    if (slash != NULL) *slash = '\0';
    return store->fs->ops->sync_dir(store->fs, slash != NULL ? parent : "."); /* an earlier start may have died before this */
}

static int recover_state(struct recovery *recovery, const struct raft_server *self)
{
    struct raft_store *store = recovery->store;
    int err = store_state_open(store, &recovery->report->vote_slot_damaged);

    if (err == MESH_ENOTFOUND) {
        if (recovery->has_others)
            return refuse(recovery, MESH_ECORRUPT,
                          "DIR/%s/state is missing, but the log is there: nobody knows how this server voted, and it could vote "
                          "twice: %s",
                          store->directory, NEW_SERVER);
        err = store_state_create(store, self);
        recovery->is_new = err == 0;
        if (err == 0) err = store_state_open(store, &recovery->report->vote_slot_damaged);
    }
    if (err == MESH_EVERSION)
        return refuse(recovery, err, "DIR/%s/state was written by a newer mesh: start that one", store->directory);
    if (err == MESH_ECORRUPT)
        return refuse(recovery, err,
                      "DIR/%s/state: both copies of term and vote are damaged; nobody knows how this server voted, and it could "
                      "vote twice: %s",
                      store->directory, NEW_SERVER);
    if (err != 0) return err;
    if (!raft_server_equal(&store->state.self, self))
        return refuse(recovery, MESH_ECORRUPT,
                      "DIR/%s is the log of another server (another broker, or another disk of it): put its own directory back, "
                      "or move this one away: the broker then joins as a new server",
                      store->directory);
    return store_mark_open(store, &recovery->mark);
}

/* ---- the snapshot to begin with ---- */

static void use_snapshot(struct recovery *recovery, const struct store_snapshot_head *head, uint64_t before)
{
    struct raft_store *store = recovery->store;
    struct raft_recovered *raft = &store->recovered.raft;

    store->snapshot = head->position;
    store->snapshot_size = head->size;
    store->snapshot_before = before;
    raft->snapshot = head->position;
    raft->snapshot_config = head->config;
}

static int recover_snapshot(struct recovery *recovery)
{
    struct raft_store *store = recovery->store;
    struct store_snapshot_head head;
    uint64_t newest = recovery->snapshots[0];
    bool was_unreadable = false;

    for (unsigned i = 0; i < SNAPSHOTS_MAX && recovery->snapshots[i] != 0; i++) {
        int err = store_snapshot_verify(store, recovery->snapshots[i], &head);
        if (err == MESH_EVERSION)
            return refuse(recovery, err, "DIR/%s/snapshot-%020llu was written by a newer mesh: start that one", store->directory,
                          (unsigned long long)recovery->snapshots[i]);
        if (err == MESH_ENOMEM) return err;
        if (err == 0) {
            use_snapshot(recovery, &head, i + 1 < SNAPSHOTS_MAX ? recovery->snapshots[i + 1] : 0);
            break;
        }
        was_unreadable |= err != MESH_ECORRUPT;
        recovery->report->used_older_snapshot = true;
        if (recovery->scan.vouched < newest) recovery->scan.vouched = newest; /* its state was durable, and told to others */
    }
    if (store->snapshot.index != 0 || (store->segment_count == 0 ? newest == 0 : store->segments[0] == 1)) return 0;
    if (was_unreadable) return MESH_EIO; /* the disk may answer another time */
    return refuse(recovery, MESH_ECORRUPT,
                  newest == 0 ? "DIR/%s: the log begins at entry %llu, and the snapshot before it is missing: %s"
                              : "DIR/%s: every snapshot is damaged, and the log begins only at entry %llu: %s",
                  store->directory, store->segment_count == 0 ? 0 : (unsigned long long)store->segments[0], NEW_SERVER);
}

/* ---- the log ---- */

/* The mark of an earlier generation holds up to the cut. */
static uint64_t marked(const struct recovery *recovery)
{
    const struct store_state *state = &recovery->store->state;
    uint64_t durable = recovery->mark.durable;

    if (recovery->mark.generation == state->generation) return durable;
    if (recovery->mark.generation + 1 != state->generation) return 0;
    return durable < state->cut_index || state->cut_index == 0 ? durable : state->cut_index - 1;
}

static int scan_segments(struct recovery *recovery)
{
    struct raft_store *store = recovery->store;
    struct store_scan *scan = &recovery->scan;

    scan->store = store;
    scan->last = store->snapshot;
    for (size_t i = 0; i < store->segment_count; i++) {
        uint64_t next = i + 1 < store->segment_count ? store->segments[i + 1] : UINT64_MAX;
        int err;
        if (next <= store->snapshot.index) continue; /* only the snapshot before needs it */
        err = store_scan_segment(scan, store->segments[i], next);
        if (err == MESH_EVERSION)
            refuse(recovery, err, "DIR/%s/log-%020llu was written by a newer mesh: start that one", store->directory,
                   (unsigned long long)store->segments[i]);
        if (err == MESH_EWRONG_MESH)
            return refuse(recovery, MESH_ECORRUPT,
                          "DIR/%s/log-%020llu is the log of another server: put the files of this one back, or %s",
                          store->directory, (unsigned long long)store->segments[i], NEW_SERVER);
        if (err != 0) return err;
    }
    return 0;
}

/* A snapshot that others made was installed, and then the machine stopped before the log that contradicts it was gone. */
static int drop_contradicting_log(struct recovery *recovery)
{
    struct raft_store *store = recovery->store;
    int err;

    store->recovered.raft.entry_count = 0;
    err = store_cut(store, 1);
    store->last = store->snapshot.index;
    return err;
}

/* Decides what the first unreadable entry is. */
static int judge_end(struct recovery *recovery)
{
    struct raft_store *store = recovery->store;
    struct store_scan *scan = &recovery->scan;
    uint64_t vouched = marked(recovery);

    store->last = scan->last.index;
    if (scan->vouched > vouched) vouched = scan->vouched;
    if (scan->was_unreadable && vouched <= scan->last.index) vouched = scan->last.index + 1; /* no torn write ends like that */
    if (vouched > scan->last.index && !STORE_DEFECT(TORN_ASSUMED)) {
        if (scan->seen > vouched) vouched = scan->seen; /* it may have been acknowledged too */
        if (store->state.damaged_until < vouched) store->state.damaged_until = vouched;
        store->has_leftovers = true;
    } else if (scan->leftover_bytes > 0 || scan->has_leftovers) {
        recovery->report->torn_bytes = scan->leftover_bytes;
        return store_cut(store, scan->last.index + 1);
    }
    return 0;
}

static int recover_log(struct recovery *recovery)
{
    int err = scan_segments(recovery);

    if (err != 0) return err;
    if (recovery->scan.is_contradicting) return drop_contradicting_log(recovery);
    /* Entries that nothing vouches for may be in memory only (a process that was killed, or a sync that failed): they are
     * written and synced again before anybody is told of them. */
    err = store_scan_harden(&recovery->scan, marked(recovery));
    return err != 0 ? err : judge_end(recovery);
}

static void fill_in(struct recovery *recovery)
{
    struct raft_store *store = recovery->store;
    struct raft_recovered *raft = &store->recovered.raft;

    raft->term = store->state.term;
    raft->voted_for = store->state.voted_for;
    raft->entries = store->recovered.entries;
    raft->damaged_until = store->state.damaged_until;
    raft->forced_term = store->state.forced_term;
    raft->committed = recovery->mark.committed < store->last ? recovery->mark.committed : store->last;
    if (raft->committed < store->snapshot.index) raft->committed = store->snapshot.index;
    store->committed = raft->committed;
    recovery->report->repaired = recovery->scan.repaired;
    if (store->state.damaged_until > store->last && store->state.damaged_until != RAFT_SET_BACK) {
        recovery->report->damaged_first = store->last + 1;
        recovery->report->damaged_until = store->state.damaged_until;
    }
}

int store_recover(struct raft_store *store, const struct raft_server *self, struct raft_store_report *report, char *message,
                  size_t message_size)
{
    struct recovery recovery = {.store = store, .report = report, .message = message, .message_size = message_size};
    char path[FS_PATH_MAX];
    uint64_t hole;
    int err = make_directory(store);

    if (err == 0) err = store->fs->ops->list(store->fs, store->directory, note_name, &recovery);
    if (err == 0) err = recover_state(&recovery, self);
    if (err != 0) return err;
    store->fs->ops->unlink(store->fs, store_path(store, path, STORE_PATH_MADE));
    store->fs->ops->unlink(store->fs, store_path(store, path, STORE_PATH_RECEIVED));
    /* Both copies anew: a torn one is mended, and one that was only in memory becomes durable before it is acted on. */
    if (!recovery.is_new) err = store_state_write(store);
    hole = store->state.damaged_until;
    if (err == 0) err = store_finish_cut(store);
    if (err == 0) err = recover_snapshot(&recovery);
    if (err == 0) err = recover_log(&recovery);
    if (err == 0 && hole != store->state.damaged_until) err = store_state_write(store);
    if (err == 0 && !recovery.is_new) err = store_sync_directory(store); /* names that an earlier process gave */
    if (err == 0) fill_in(&recovery);
    return err;
}
