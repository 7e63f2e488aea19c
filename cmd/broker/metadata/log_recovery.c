/* metadata/log_recovery.c - what happens to DIR/meta before the first append.
 *
 * The newest good snapshot, then every record behind it. A frame that cannot be read is a torn tail when
 * nothing valid follows it and the durable mark does not vouch for it: the machine stopped while it was
 * written, so nobody was told that it holds. Anything else is damage, and damage refuses to start: a broker
 * that forgets decisions is worse than one that is down. */
#include "cmd/broker/metadata/log_internal.h"

#include "base/error.h"
#include "base/fs_whole.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* The one before it was never released, so it is refused instead of converted. */
#define OTHER_VERSION                                                                                        \
    "DIR/%s was written by another version of mesh, one before the first release or a newer mesh: start "    \
    "the mesh that wrote it; or, if topics and their records may be lost, move the data directory away and " \
    "start anew"

#define LOG_CURE                                                                                             \
    "restore DIR/meta from a copy; or, if topics and their records may be lost, move the data directory "    \
    "away and start anew"

struct recovery {
    struct fs *fs;
    struct metadata_log *log;
    struct image *image;
    struct metadata_recovery report;
    uint64_t durable; /* the mark: records up to here were synced */
    char *message;
    size_t message_size;
};

static int refuse(struct recovery *recovery, int err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int refuse(struct recovery *recovery, int err, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(recovery->message, recovery->message_size, format, arguments);
    va_end(arguments);
    return err;
}

/* ---- the snapshot to begin with ---- */

/* Out of the way, but kept for those who want to look at it. */
static int set_aside(struct recovery *recovery, uint64_t index)
{
    char from[FS_PATH_MAX], to[FS_PATH_MAX];

    snprintf(to, sizeof(to), LOG_DIR "/damaged-snapshot-%020llu", (unsigned long long)index);
    return recovery->fs->ops->rename(recovery->fs, log_path(from, LOG_FILE_SNAPSHOT, index), to);
}

static int find_snapshot(struct recovery *recovery)
{
    struct log_files snapshots;
    char path[FS_PATH_MAX];
    int err = log_files_list(recovery->fs, LOG_FILE_SNAPSHOT, &snapshots);

    for (size_t i = snapshots.count; err == 0 && i > 0; i--) {
        uint64_t index = snapshots.numbers[i - 1];
        err = log_snapshot_read(recovery->fs, index, &recovery->image, &recovery->log->snapshot_bytes);
        if (err == 0) return 0;
        log_path(path, LOG_FILE_SNAPSHOT, index);
        if (err == MESH_EVERSION)
            return refuse(recovery, err, OTHER_VERSION, path);
        if (err != MESH_ECORRUPT) return err;
        recovery->report.used_older_snapshot = true;
        if (recovery->durable < index)
            recovery->durable = index; /* a snapshot is made of synced records only */
        err = set_aside(recovery, index);
    }
    return err != 0 ? err : image_new_empty(&recovery->image);
}

/* ---- frames ---- */

/* Applies the entries of one frame that the image does not hold yet. */
static int replay_frame(struct recovery *recovery, struct slice entries)
{
    while (entries.size > 0) {
        struct raft_entry entry;
        size_t size;
        int err = log_entry_decode(entries, &entry, &size);

        if (err != 0) return MESH_ECORRUPT; /* the frame's checksum was good, so these bytes were meant */
        entries = slice_of(entries.data + size, entries.size - size);
        if (entry.index <= image_applied_index(recovery->image)) continue;
        err = image_advance(recovery->image, &entry);
        if (err != 0) return err;
        recovery->report.record_count++;
    }
    return 0;
}

/* Where the next valid frame starts at or after `at`; bytes.size when there is none. */
static size_t find_frame(struct slice bytes, size_t at)
{
    struct slice unused;

    for (; at + LOG_FRAME_HEADER_SIZE <= bytes.size; at++) {
        const uint8_t *next = memchr(bytes.data + at, 'M', bytes.size - at);
        if (next == NULL) return bytes.size;
        at = (size_t)(next - bytes.data);
        if (log_frame_parse(slice_of(next, bytes.size - at), &unused)) return at;
    }
    return bytes.size;
}

/* Judges the bytes at `at`, which are no frame: 0 when they are a torn tail. */
static int judge_bad_frame(struct recovery *recovery, const char *path, struct slice bytes, size_t at,
                           bool is_newest)
{
    uint64_t index = image_applied_index(recovery->image);
    size_t next = find_frame(bytes, at + 1);

    if (next < bytes.size)
        return refuse(recovery, MESH_ECORRUPT,
                      "DIR/%s is damaged at byte %zu (record %llu; good records follow at byte %zu): %s",
                      path, at, (unsigned long long)index + 1, next, LOG_CURE);
    if (!is_newest || index < recovery->durable)
        return refuse(recovery, MESH_ECORRUPT,
                      "DIR/%s is damaged at byte %zu (record %llu, which had been synced): %s", path, at,
                      (unsigned long long)index + 1, LOG_CURE);
    return 0;
}

static int replay_frames(struct recovery *recovery, const char *path, struct slice bytes, bool is_newest,
                         size_t *ret_end)
{
    size_t at = LOG_HEADER_SIZE;
    struct slice records;
    int err = 0;

    while (err == 0 && log_frame_parse(slice_of(bytes.data + at, bytes.size - at), &records)) {
        err = replay_frame(recovery, records);
        if (err == MESH_EVERSION)
            return refuse(recovery, err, "DIR/%s was written by a newer mesh (byte %zu): start that one",
                          path, at);
        if (err == MESH_ECORRUPT)
            return refuse(recovery, err, "DIR/%s does not continue the history at byte %zu (record %llu): %s",
                          path, at, (unsigned long long)image_applied_index(recovery->image) + 1, LOG_CURE);
        at += LOG_FRAME_HEADER_SIZE + records.size;
    }
    if (err == 0 && at < bytes.size) err = judge_bad_frame(recovery, path, bytes, at, is_newest);
    *ret_end = at;
    return err;
}

/* ---- files ---- */

static int cut_torn_tail(struct recovery *recovery, size_t end, size_t size)
{
    struct fs *fs = recovery->fs;
    int err;

    if (end == size) return 0;
    recovery->report.torn_bytes += size - end;
    err = fs->ops->truncate(recovery->log->file, end);
    return err != 0 ? err : fs->ops->sync(recovery->log->file);
}

/* Replays one log file; the newest stays open for appending. */
static int replay_file(struct recovery *recovery, uint64_t base, bool is_newest)
{
    struct metadata_log *log = recovery->log;
    struct buffer bytes = BUFFER_INIT;
    char path[FS_PATH_MAX];
    size_t end = LOG_HEADER_SIZE;
    uint64_t before = recovery->report.record_count;
    int err = fs_read_whole(recovery->fs, log_path(path, LOG_FILE_LOG, base),
                        LOG_BYTES_MAX + METADATA_FRAME_BYTES_MAX, &bytes);

    if (err == 0) err = log_file_check_header(buffer_slice(&bytes), base);
    if (err == MESH_EVERSION)
        refuse(recovery, err, OTHER_VERSION, path);
    if (err == MESH_ECORRUPT)
        refuse(recovery, err, "DIR/%s has a damaged header (byte 0): %s", path, LOG_CURE);
    if (err == 0 && base > image_applied_index(recovery->image))
        err = refuse(recovery, MESH_ECORRUPT,
                     "DIR/%s begins after record %llu, but the records before it end at %llu: %s", path,
                     (unsigned long long)base, (unsigned long long)image_applied_index(recovery->image),
                     LOG_CURE);
    if (err == 0) err = replay_frames(recovery, path, buffer_slice(&bytes), is_newest, &end);
    if (err == 0 && is_newest) {
        err = fs_open(recovery->fs, path, FS_WRITE, &log->file);
        if (err == 0) err = cut_torn_tail(recovery, end, bytes.size);
        log->base = base;
        log->size = end;
        log->record_count = recovery->report.record_count - before;
    }
    buffer_deinit(&bytes);
    return err;
}

/* A directory without any log file: new, or the machine stopped between the first snapshot's or log's steps.
 */
static int begin_log(struct recovery *recovery)
{
    uint64_t base = image_applied_index(recovery->image);
    int err = log_file_create(recovery->fs, base);

    return err != 0 ? err : replay_file(recovery, base, true);
}

static int replay_logs(struct recovery *recovery)
{
    uint64_t snapshot = image_applied_index(recovery->image);
    struct log_files logs;
    size_t first = 0;
    int err = log_files_list(recovery->fs, LOG_FILE_LOG, &logs);

    if (err != 0) return err;
    if (logs.count == 0 && snapshot == 0 && recovery->durable == 0) return begin_log(recovery);
    if (logs.count == 0)
        return refuse(recovery, MESH_ECORRUPT, "DIR/meta has no log file to continue record %llu: %s",
                      (unsigned long long)snapshot, LOG_CURE);
    while (first + 1 < logs.count && logs.numbers[first + 1] <= snapshot)
        first++;
    for (size_t i = first; i < logs.count && err == 0; i++)
        err = replay_file(recovery, logs.numbers[i], i + 1 == logs.count);
    if (err == 0 && image_applied_index(recovery->image) < recovery->durable)
        err = refuse(recovery, MESH_ECORRUPT,
                     "DIR/meta ends at record %llu, but record %llu had been synced: %s",
                     (unsigned long long)image_applied_index(recovery->image),
                     (unsigned long long)recovery->durable, LOG_CURE);
    return err;
}

static int recover(struct recovery *recovery)
{
    struct fs *fs = recovery->fs;
    int err = fs->ops->mkdir(fs, LOG_DIR);

    if (err == 0 || err == MESH_EEXISTS)
        err = fs->ops->sync_dir(fs, "."); /* an earlier start may have died before this */
    if (err != 0) return err;
    err = log_durable_read(fs, &recovery->durable);
    if (err == 0) err = find_snapshot(recovery);
    return err != 0 ? err : replay_logs(recovery);
}

int metadata_log_open(struct fs *fs, struct metadata_log **ret_log, struct image **ret_image,
                      struct metadata_recovery *ret_recovery, char *message, size_t message_size)
{
    struct recovery recovery = {.fs = fs, .message = message, .message_size = message_size};
    struct metadata_log *log = calloc(1, sizeof(*log));
    int err;

    message[0] = '\0';
    if (log == NULL) return MESH_ENOMEM;
    log->fs = fs;
    recovery.log = log;
    err = recover(&recovery);
    if (err != 0) {
        if (message[0] == '\0')
            snprintf(message, message_size, "DIR/meta cannot be read or written: %s", mesh_strerror(err));
        image_unref(recovery.image);
        metadata_log_close(log);
        return err;
    }
    log->index = image_applied_index(recovery.image);
    log->wants_snapshot =
        recovery.report.used_older_snapshot || recovery.report.record_count > LOG_SNAPSHOT_AT_OPEN;
    log_durable_open(log);
    *ret_log = log;
    *ret_image = recovery.image;
    *ret_recovery = recovery.report;
    return 0;
}
