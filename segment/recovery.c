#include "segment/recovery.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/error.h"
#include "segment/recovery_journal.h"
#include "segment/recovery_log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNTOLD_NAME "untold"
#define UNTOLD_PATH "manifest/" UNTOLD_NAME

#define BLOCK_LOGS 64

/* Logs lie together: all of them go soon, and what stays of a start is not to lie between the places where they were. */
struct recovered_block {
    uint32_t used;       /* of the places, ever */
    uint32_t references; /* logs that are there; and one while the catalogue puts more there */
    struct plog_recovered logs[BLOCK_LOGS];
};

struct recovery_catalog {
    struct map logs; /* plog_recovered.node */
    struct recovered_block *block; /* the last one, referenced; NULL: none yet */
};

/* One store that wrote since it was last stopped cleanly. */
struct dirty_store {
    uint32_t index;
    struct manifest_marker marker;
    uint64_t live_frame, last_frame; /* of its newest manifest of this run */
};

struct recovery {
    struct fs *fs;
    struct recovery_catalog *catalog;
    struct recovery_report *report;
    recovery_event_fn *event;
    void *event_user;
    struct dirty_store *dirty; /* owned */
    uint32_t dirty_count;
    uint32_t *manifests; /* owned; store indexes */
    uint32_t manifest_count;
    uint64_t generation;           /* the largest seen */
    uint64_t recovered_generation; /* of manifest/recovered; everything older than it is void */
    bool is_manifest_lost;         /* one could not be read */
    bool is_untold;                /* there is a note of an earlier stop that was not clean */
};

/* ---- the catalogue ---- */

static struct plog_recovered *find_log(const struct recovery_catalog *catalog, const struct plog_id *id)
{
    for (struct map_node *node = map_find(&catalog->logs, plog_id_hash(id)); node != NULL;
         node = map_find_next(node)) {
        struct plog_recovered *found = container_of(node, struct plog_recovered, node);
        if (found->log.id.partition == id->partition && uuid_equal(&found->log.id.topic_id, &id->topic_id))
            return found;
    }
    return NULL;
}

static void block_unref(struct recovered_block *block)
{
    if (block != NULL && --block->references == 0) free(block);
}

static struct plog_recovered *new_log(struct recovery_catalog *catalog)
{
    struct recovered_block *block = catalog->block;
    struct plog_recovered *log;

    if (block == NULL || block->used == BLOCK_LOGS) {
        block = calloc(1, sizeof(*block));
        if (block == NULL) return NULL;
        block_unref(catalog->block);
        block->references = 1;
        catalog->block = block;
    }
    log = &block->logs[block->used++];
    log->block = block;
    block->references++;
    return log;
}

static int get_log(struct recovery_catalog *catalog, const struct plog_id *id,
                   struct plog_recovered **ret_log)
{
    struct plog_recovered *log = find_log(catalog, id);

    if (log == NULL) {
        log = new_log(catalog);
        if (log == NULL) return MESH_ENOMEM;
        log->log.id = *id;
        if (map_insert(&catalog->logs, &log->node, plog_id_hash(id)) != 0) {
            plog_recovered_free(log);
            return MESH_ENOMEM;
        }
    }
    *ret_log = log;
    return 0;
}

void plog_recovered_free(struct plog_recovered *recovered)
{
    if (recovered == NULL) return;
    manifest_log_deinit(&recovered->log);
    block_unref(recovered->block);
}

void recovery_catalog_free(struct recovery_catalog *catalog)
{
    struct map_node *node, *next;

    if (catalog == NULL) return;
    for (node = map_iterate(&catalog->logs, NULL); node != NULL; node = next) {
        next = map_iterate(&catalog->logs, node);
        plog_recovered_free(container_of(node, struct plog_recovered, node));
    }
    map_deinit(&catalog->logs);
    block_unref(catalog->block);
    free(catalog);
}

struct plog_recovered *recovery_take(struct recovery_catalog *catalog, const struct plog_id *id)
{
    struct plog_recovered *log = find_log(catalog, id);

    if (log != NULL) map_remove(&catalog->logs, &log->node);
    return log;
}

void recovery_each(struct recovery_catalog *catalog, void (*each)(void *user, const struct plog_id *id),
                   void *user)
{
    struct map_node *node, *next;

    for (node = map_iterate(&catalog->logs, NULL); node != NULL; node = next) {
        struct plog_id id = container_of(node, struct plog_recovered, node)->log.id;
        next = map_iterate(&catalog->logs, node); /* each() may take this one */
        each(user, &id);
    }
}

/* ---- manifests and markers ---- */

static int read_whole(struct fs *fs, const char *path, struct buffer *to)
{
    struct fs_file *file = NULL;
    uint64_t size = 0;
    int err = fs_open(fs, path, FS_READ, &file);

    if (err != 0) return err;
    err = fs->ops->size(file, &size);
    if (err == 0 && size > UINT32_MAX) err = MESH_ECORRUPT;
    buffer_clear(to);
    if (err == 0) err = buffer_reserve(to, (size_t)size + 1);
    if (err == 0) err = fs->ops->read(file, to->data, (size_t)size, 0, &to->size);
    fs_unref(file);
    return err;
}

static int note_name(void *user, const char *name, bool is_dir)
{
    struct recovery *recovery = user;
    uint32_t index;
    bool is_marker;
    void *grown;

    if (!is_dir && strcmp(name, UNTOLD_NAME) == 0) recovery->is_untold = true;
    if (is_dir || !manifest_parse_name(name, &index, &is_marker)) return 0;
    if (is_marker) {
        grown = realloc(recovery->dirty, (recovery->dirty_count + 1) * sizeof(*recovery->dirty));
        if (grown == NULL) return MESH_ENOMEM;
        recovery->dirty = grown;
        recovery->dirty[recovery->dirty_count++] = (struct dirty_store){.index = index};
        return 0;
    }
    grown = realloc(recovery->manifests, (recovery->manifest_count + 1) * sizeof(*recovery->manifests));
    if (grown == NULL) return MESH_ENOMEM;
    recovery->manifests = grown;
    recovery->manifests[recovery->manifest_count++] = index;
    return 0;
}

static void say(const struct recovery *recovery, bool is_damage, const char *what, uint32_t store_index)
{
    char text[160];

    if (recovery->event == NULL) return;
    snprintf(text, sizeof(text), "%s store=%u", what, store_index);
    recovery->event(recovery->event_user, is_damage, text);
}

static int take_logs(struct recovery *recovery, const struct manifest_header *header, struct slice body)
{
    int err = 0;

    for (uint32_t i = 0; i < header->log_count && err == 0; i++) {
        struct manifest_log log;
        struct plog_recovered *known;
        err = manifest_decode_log(&body, &log);
        if (err != 0) return err;
        err = get_log(recovery->catalog, &log.id, &known);
        /* Logs may have moved between stores: what was written last is true. */
        if (err != 0 || known->generation > header->generation) {
            manifest_log_deinit(&log);
            continue;
        }
        manifest_log_deinit(&known->log);
        known->log = log;
        known->generation = header->generation;
    }
    return err;
}

static void note_frames(struct recovery *recovery, uint32_t index, const struct manifest_header *header)
{
    for (uint32_t i = 0; i < recovery->dirty_count; i++) {
        struct dirty_store *dirty = &recovery->dirty[i];
        if (dirty->index != index || dirty->marker.generation != header->generation) continue;
        dirty->live_frame = header->live_frame;
        dirty->last_frame = header->last_frame;
    }
}

static int read_manifest(struct recovery *recovery, uint32_t index)
{
    struct buffer bytes = BUFFER_INIT;
    struct manifest_header header;
    char path[FS_PATH_MAX];
    struct slice body;
    int err;

    manifest_path(index, MANIFEST_PATH_FILE, path);
    err = read_whole(recovery->fs, path, &bytes);
    if (err == 0) err = manifest_decode(buffer_slice(&bytes), &header, &body);
    if (err == 0) {
        if (header.generation > recovery->generation) recovery->generation = header.generation;
        if (index == MANIFEST_INDEX_RECOVERED) recovery->recovered_generation = header.generation;
        err = take_logs(recovery, &header, body);
        if (err == 0) note_frames(recovery, index, &header); /* what a manifest does not name counts as deleted: only if all of it was read */
    }
    buffer_deinit(&bytes);
    if (err != MESH_ECORRUPT) return err;
    /* The files themselves know nearly everything that it knew. */
    recovery->is_manifest_lost = true;
    recovery->report->holes++;
    say(recovery, true, "manifest unreadable", index);
    return 0;
}

static int read_marker(struct recovery *recovery, struct dirty_store *dirty)
{
    struct buffer bytes = BUFFER_INIT;
    char path[FS_PATH_MAX];
    int err;

    manifest_path(dirty->index, MANIFEST_PATH_MARKER, path);
    err = read_whole(recovery->fs, path, &bytes);
    if (err == 0) err = manifest_decode_marker(buffer_slice(&bytes), &dirty->marker);
    if (err == MESH_ECORRUPT) {
        /* Its name was durable before its bytes: then nothing else of that run was written. */
        dirty->marker = (struct manifest_marker){0, 0};
        err = 0;
    }
    if (dirty->marker.generation > recovery->generation) recovery->generation = dirty->marker.generation;
    buffer_deinit(&bytes);
    return err;
}

static int read_all(struct recovery *recovery)
{
    int err = recovery->fs->ops->list(recovery->fs, "manifest", note_name, recovery);

    if (err == MESH_ENOTFOUND) err = 0;
    for (uint32_t i = 0; i < recovery->dirty_count && err == 0; i++)
        err = read_marker(recovery, &recovery->dirty[i]);
    for (uint32_t i = 0; i < recovery->manifest_count && err == 0; i++)
        err = read_manifest(recovery, recovery->manifests[i]);
    return err;
}

/* ---- after a clean stop ---- */

static int ignore_name(void *user, const char *name, bool is_dir)
{
    (void)user;
    (void)name;
    (void)is_dir;
    return 0;
}

/* A log that only an older manifest names was deleted since, or nobody opened it: its directory knows. */
static int drop_deleted(struct recovery *recovery)
{
    struct recovery_catalog *catalog = recovery->catalog;
    struct map_node *node, *next;

    for (node = map_iterate(&catalog->logs, NULL); node != NULL; node = next) {
        struct plog_recovered *log = container_of(node, struct plog_recovered, node);
        char path[FS_PATH_MAX];
        int err = 0;
        next = map_iterate(&catalog->logs, node);
        if (log->generation < recovery->generation && log->log.segment_count > 0) {
            segment_directory_path(&log->log.id, path);
            err = recovery->fs->ops->list(recovery->fs, path, ignore_name, NULL);
        }
        if (err != 0 && err != MESH_ENOTFOUND) return err;
        if (err == 0 && !log->is_gone) continue;
        map_remove(&catalog->logs, node);
        plog_recovered_free(log);
    }
    return 0;
}

/* ---- after a crash ---- */

struct found_topics {
    struct recovery *recovery;
    struct uuid *topics; /* owned */
    uint32_t count;
    struct uuid current;
};

static int note_topic(void *user, const char *name, bool is_dir)
{
    struct found_topics *found = user;
    struct uuid topic_id, *grown;

    if (!is_dir || uuid_parse(name, &topic_id) != 0) return 0;
    grown = realloc(found->topics, (found->count + 1) * sizeof(*grown));
    if (grown == NULL) return MESH_ENOMEM;
    found->topics = grown;
    found->topics[found->count++] = topic_id;
    return 0;
}

static int note_partition(void *user, const char *name, bool is_dir)
{
    struct found_topics *found = user;
    struct plog_id id = {.topic_id = found->current};
    struct plog_recovered *log;
    uint64_t partition = 0;

    if (!is_dir || *name == '\0') return 0;
    for (const char *at = name; *at != '\0'; at++) {
        if (*at < '0' || *at > '9' || partition > UINT32_MAX) return 0;
        partition = partition * 10 + (uint64_t)(*at - '0');
    }
    if (partition > UINT32_MAX) return 0;
    id.partition = (uint32_t)partition;
    return get_log(found->recovery->catalog, &id, &log);
}

static int find_logs_on_disk(struct recovery *recovery)
{
    struct found_topics found = {.recovery = recovery};
    int err = recovery->fs->ops->list(recovery->fs, "topics", note_topic, &found);

    if (err == MESH_ENOTFOUND) err = 0;
    for (uint32_t i = 0; i < found.count && err == 0; i++) {
        char path[FS_PATH_MAX];
        found.current = found.topics[i];
        segment_topic_path(&found.current, path);
        err = recovery->fs->ops->list(recovery->fs, path, note_partition, &found);
    }
    free(found.topics);
    return err;
}

static int read_journals(struct recovery *recovery, struct recovery_journal *journal)
{
    int err = 0;

    for (uint32_t i = 0; i < recovery->dirty_count && err == 0; i++) {
        const struct dirty_store *dirty = &recovery->dirty[i];
        struct recovery_store store = {dirty->index, dirty->marker, dirty->live_frame, dirty->last_frame};
        struct journal_findings findings;
        if (dirty->marker.generation <= recovery->recovered_generation) continue;
        err = recovery_journal_read(journal, recovery->fs, &store, &findings);
        if (err == 0 && findings.damaged_frames > 0)
            say(recovery, true, "journal frames damaged", dirty->index);
    }
    return err != 0 ? err : recovery_journal_sort(journal);
}

static int note_journal_log(void *user, const struct plog_id *id)
{
    struct plog_recovered *log;

    return get_log(((struct recovery *)user)->catalog, id, &log);
}

static int recover_logs(struct recovery *recovery, struct recovery_journal *journal)
{
    struct map_node *node;
    int err = recovery_journal_each_log(journal, note_journal_log, recovery);

    for (node = map_iterate(&recovery->catalog->logs, NULL); node != NULL && err == 0;
         node = map_iterate(&recovery->catalog->logs, node)) {
        struct recovery_log log = {.fs = recovery->fs,
                                   .report = recovery->report,
                                   .event = recovery->event,
                                   .event_user = recovery->event_user};
        log.recovered = container_of(node, struct plog_recovered, node);
        log.is_manifest_lost = recovery->is_manifest_lost;
        log.is_superseded = log.recovered->generation < recovery->generation;
        log.entries = recovery_journal_find(journal, &log.recovered->log.id, &log.entry_count);
        err = recovery_log_run(&log);
    }
    return err;
}

static int write_recovered(struct recovery *recovery)
{
    struct manifest_header header = {.generation = ++recovery->generation, .sequence = 1};
    struct buffer bytes = BUFFER_INIT;
    struct map_node *node;
    int err;

    header.log_count = (uint32_t)recovery->catalog->logs.count;
    err = manifest_encode_header(&header, &bytes);
    for (node = map_iterate(&recovery->catalog->logs, NULL); node != NULL && err == 0;
         node = map_iterate(&recovery->catalog->logs, node)) {
        struct plog_recovered *log = container_of(node, struct plog_recovered, node);
        log->generation = header.generation;
        err = manifest_encode_log(&log->log, &bytes);
    }
    if (err == 0) err = manifest_encode_end(&bytes);
    if (err == 0) err = manifest_write(recovery->fs, MANIFEST_INDEX_RECOVERED, buffer_slice(&bytes));
    buffer_deinit(&bytes);
    return err;
}

static int remove_path(struct fs *fs, uint32_t index, enum manifest_path_kind kind)
{
    char path[FS_PATH_MAX];
    int err;

    manifest_path(index, kind, path);
    err = fs->ops->unlink(fs, path);
    return err == MESH_ENOTFOUND ? 0 : err;
}

/* Only after manifest/recovered is durable: until then a crash begins all over again, with the same result.
 */
static int remove_superseded(struct recovery *recovery)
{
    int err = 0;

    for (uint32_t i = 0; i < recovery->manifest_count && err == 0; i++)
        if (recovery->manifests[i] != MANIFEST_INDEX_RECOVERED)
            err = remove_path(recovery->fs, recovery->manifests[i], MANIFEST_PATH_FILE);
    for (uint32_t i = 0; i < recovery->dirty_count && err == 0; i++)
        err = remove_path(recovery->fs, recovery->dirty[i].index, MANIFEST_PATH_MARKER);
    return err != 0 ? err : recovery->fs->ops->sync_dir(recovery->fs, "manifest");
}

int recovery_note_life(struct fs *fs)
{
    struct fs_file *file = NULL;
    int err = fs->ops->mkdir(fs, "manifest");

    if (err != 0 && err != MESH_EEXISTS) return err;
    err = err == 0 ? fs->ops->sync_dir(fs, ".") : 0;
    if (err == 0) err = fs_open(fs, UNTOLD_PATH, FS_WRITE | FS_CREATE, &file);
    fs_unref(file);
    return err != 0 ? err : fs->ops->sync_dir(fs, "manifest");
}

/* The markers go, and with them the only trace of this stop: so it is noted before. */
static int note_untold(struct recovery *recovery)
{
    return recovery->is_untold ? 0 : recovery_note_life(recovery->fs);
}

int recovery_told(struct fs *fs)
{
    int err = fs->ops->unlink(fs, UNTOLD_PATH);

    if (err == MESH_ENOTFOUND) return 0;
    return err != 0 ? err : fs->ops->sync_dir(fs, "manifest");
}

static int recover_from_crash(struct recovery *recovery)
{
    struct recovery_journal *journal = NULL;
    int err = recovery_journal_new(&journal);

    if (err == 0) err = find_logs_on_disk(recovery);
    if (err == 0) err = read_journals(recovery, journal);
    if (err == 0) err = recover_logs(recovery, journal);
    if (err == 0) err = drop_deleted(recovery);
    /* Segments, cuts and names are durable before anything says that they can be believed. */
    if (err == 0) err = recovery->fs->ops->sync_all(recovery->fs);
    if (err == 0) err = note_untold(recovery);
    if (err == 0) err = write_recovered(recovery);
    if (err == 0) err = remove_superseded(recovery);
    recovery_journal_free(journal);
    return err;
}

static bool was_clean(const struct recovery *recovery)
{
    for (uint32_t i = 0; i < recovery->dirty_count; i++)
        if (recovery->dirty[i].marker.generation > recovery->recovered_generation) return false;
    return !recovery->is_manifest_lost;
}

int recovery_run(struct fs *fs, recovery_event_fn *event, void *event_user,
                 struct recovery_catalog **ret_catalog, struct recovery_report *ret_report)
{
    struct recovery_report report = {0};
    struct recovery recovery = {.fs = fs, .report = &report, .event = event, .event_user = event_user};
    uint64_t start_ms = clock_monotonic_ms();
    int err = MESH_ENOMEM;

    recovery.catalog = calloc(1, sizeof(*recovery.catalog));
    if (recovery.catalog != NULL) err = read_all(&recovery);
    if (err == 0) {
        report.was_clean = was_clean(&recovery);
        report.is_untold = !report.was_clean || recovery.is_untold;
        err = report.was_clean ? drop_deleted(&recovery) : recover_from_crash(&recovery);
    }
    free(recovery.dirty);
    free(recovery.manifests);
    if (err != 0) {
        recovery_catalog_free(recovery.catalog);
        return err;
    }
    report.generation = recovery.generation;
    report.log_count = recovery.catalog->logs.count;
    report.duration_ms = clock_monotonic_ms() - start_ms;
    *ret_catalog = recovery.catalog;
    *ret_report = report;
    return 0;
}

int recovery_quarantine_topic(struct fs *fs, const struct uuid *topic_id)
{
    char from[FS_PATH_MAX], to[FS_PATH_MAX], text[UUID_STRING_SIZE];
    int err = fs->ops->mkdir(fs, "quarantine");

    if (err != 0 && err != MESH_EEXISTS) return err;
    segment_topic_path(topic_id, from);
    snprintf(to, sizeof(to), "quarantine/%s", uuid_format(topic_id, text));
    err = fs->ops->rename(fs, from, to);
    if (err == MESH_ENOTFOUND) return 0; /* it never had a file */
    if (err == 0) err = fs->ops->sync_dir(fs, ".");
    if (err == 0) err = fs->ops->sync_dir(fs, "quarantine");
    return err != 0 ? err : fs->ops->sync_dir(fs, "topics");
}
