#include "cmd/cli/move_watch.h"

#include "base/clock.h"
#include "cmd/cli/interrupt.h"
#include "cmd/cli/terminal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOOK_MS   500
#define LINE_SIZE 240

/* One partition. */
struct watched {
    uint64_t total_bytes, copied_bytes;
    bool is_over, is_queued;
};

/* ---- looking ---- */

bool move_copied(const struct mesh_partition_info *partition, uint64_t *ret_total, uint64_t *ret_copied)
{
    uint64_t total = 0, missing = 0;
    bool is_moving = false;

    for (size_t i = 0; i < partition->replica_count; i++) {
        const struct mesh_replica_info *replica = &partition->details[i];

        is_moving = is_moving || replica->is_adding || replica->is_removing;
        if (!replica->is_adding) continue;
        total += partition->size_bytes;
        missing += replica->missing_records < 0 || partition->is_queued ? partition->size_bytes : replica->missing_bytes;
    }
    *ret_total = total;
    *ret_copied = missing < total ? total - missing : 0;
    return is_moving;
}

/* What is said of a partition that cannot be asked just now is what was said last. */
static void look_at_partition(const struct mesh_partition_info *partition, struct watched *watched)
{
    uint64_t total, copied;

    watched->is_over = !move_copied(partition, &total, &copied);
    watched->is_queued = partition->is_queued != 0;
    if (watched->is_over) watched->copied_bytes = watched->total_bytes;
    if (watched->is_over || partition->error != 0) return;
    watched->total_bytes = total;
    watched->copied_bytes = copied;
}

/* The moves of one topic from `first` on; returns where those of the next begin. A topic that is gone moves no more. */
static size_t look_at_topic(struct session *session, const struct mesh_moves *moves, size_t first, struct watched *watched, int *ret_error)
{
    const char *topic = mesh_moves_get(moves, first)->topic;
    const struct mesh_topic_info *info = NULL;
    struct mesh_topic_list *list = NULL;
    size_t at = first;

    *ret_error = mesh_topic_describe(session->client, topic, &list);
    if (*ret_error == 0) info = mesh_topic_list_get(list, 0);
    if (*ret_error == MESH_EUNKNOWN_TOPIC) *ret_error = 0;
    for (; at < mesh_moves_count(moves) && strcmp(mesh_moves_get(moves, at)->topic, topic) == 0; at++) {
        size_t partition = (size_t)mesh_moves_get(moves, at)->partition;

        if (*ret_error != 0) continue;
        if (info != NULL && partition < info->partition_count) look_at_partition(&info->partitions[partition], &watched[at]);
        else watched[at].is_over = true;
    }
    mesh_topic_list_free(list);
    return at;
}

static int look(struct session *session, const struct mesh_moves *moves, struct watched *watched, struct move_progress *progress)
{
    size_t count = mesh_moves_count(moves);
    int err = 0;

    for (size_t i = 0; i < count && err == 0;)
        i = look_at_topic(session, moves, i, watched, &err);
    if (err != 0) return err;
    *progress = (struct move_progress){.moves = count, .begin_bytes = progress->begin_bytes};
    for (size_t i = 0; i < count; i++) {
        progress->over += watched[i].is_over;
        progress->queued += !watched[i].is_over && watched[i].is_queued;
        progress->total_bytes += watched[i].total_bytes;
        progress->copied_bytes += watched[i].copied_bytes;
    }
    return 0;
}

/* ---- showing ---- */

void move_progress_format(char *to, size_t size, const struct move_progress *progress, double seconds)
{
    char volume[TERMINAL_FIGURE_SIZE], speed[TERMINAL_FIGURE_SIZE], left[TERMINAL_FIGURE_SIZE];
    uint64_t done = progress->copied_bytes > progress->begin_bytes ? progress->copied_bytes - progress->begin_bytes : 0;
    double rate = seconds > 0 ? (double)done / seconds : 0;
    size_t used;

    used = (size_t)snprintf(to, size, "%zu of %zu partition%s moved", progress->over, progress->moves, progress->moves == 1 ? "" : "s");
    if (progress->queued != 0 && used < size)
        used += (size_t)snprintf(to + used, size - used, ", %zu wait%s for %s turn", progress->queued, progress->queued == 1 ? "s" : "",
                                 progress->queued == 1 ? "its" : "their");
    if (progress->total_bytes == 0 || used >= size) return;
    used += (size_t)snprintf(to + used, size - used, "  %.0f %% of %s  %s/s", 100.0 * (double)progress->copied_bytes / (double)progress->total_bytes,
                             terminal_megabytes((double)progress->total_bytes, volume), terminal_megabytes(rate, speed));
    if (rate <= 0 || used >= size || progress->copied_bytes >= progress->total_bytes) return;
    snprintf(to + used, size - used, "  ETA %s", terminal_seconds((double)(progress->total_bytes - progress->copied_bytes) / rate, left));
}

static void show(const struct move_progress *progress, double seconds)
{
    char line[LINE_SIZE];

    if (!terminal_is(STDERR_FILENO)) return;
    move_progress_format(line, sizeof(line), progress, seconds);
    fprintf(stderr, "\r%.*s\033[K", (int)terminal_width(STDERR_FILENO) - 1, line);
}

int move_watch(struct session *session, const struct mesh_moves *moves, struct move_progress *ret_progress)
{
    const struct timespec pause = {0, LOOK_MS * 1000000};
    struct watched *watched = calloc(mesh_moves_count(moves) + 1, sizeof(watched[0]));
    struct move_progress progress = {.begin_bytes = 0};
    uint64_t begin_ns = clock_monotonic_ns();
    int err = watched == NULL ? MESH_ENOMEM : look(session, moves, watched, &progress);

    progress.begin_bytes = progress.copied_bytes;
    while (err == 0 && progress.over < progress.moves && interrupt_signal() == 0) {
        show(&progress, (double)(clock_monotonic_ns() - begin_ns) / 1e9);
        (void)nanosleep(&pause, NULL);
        err = interrupt_signal() != 0 ? 0 : look(session, moves, watched, &progress);
    }
    if (terminal_is(STDERR_FILENO)) fputs("\r\033[K", stderr);
    free(watched);
    if (err == 0) *ret_progress = progress;
    return err;
}
