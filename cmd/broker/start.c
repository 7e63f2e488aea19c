/* broker/start.c - data directory, recovery, logs. */
#include "cmd/broker/start.h"

#include "base/error.h"
#include "base/log.h"
#include "cmd/broker/budgets.h"
#include "cmd/broker/front/accept.h"
#include "cmd/broker/front/tls.h"
#include "cmd/broker/metadata/metadata.h"
#include "cmd/broker/operate/events.h"
#include "cmd/broker/runtime/partitions.h"
#include "cmd/broker/topic_defaults.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define LOCK_PATH           "lock"
#define FIRST_START_BYTES_MIN (1u << 20)
#define DESCRIPTORS_FOR_US  512 /* files, sockets of our own, event descriptors */
#define DESCRIPTORS_WANTED  1048576

int start_check_topic_defaults(const struct broker *broker)
{
    char message[256] = "";
    int err = topic_defaults_check(&broker->settings, message, sizeof(message));

    if (err != 0) log_error("a default for topics is not acceptable: %s", message);
    return err;
}

int start_check_tls(const struct broker *broker)
{
    char message[TLS_MESSAGE_SIZE] = "";
    int err = tls_check(&broker->settings, message);

    if (err != 0) log_error("no TLS: %s", message);
    return err;
}

int start_check_clock(int64_t wall_ms)
{
    char text[LOG_TIME_SIZE];

    if (wall_ms >= BROKER_CLOCK_LEAST_MS) return 0;
    log_error("the clock of this machine is wrong, it says %s: set it (chrony, timedatectl set-ntp true) and start again; records get their times from it, and are deleted by them",
              log_time(wall_ms, text));
    return MESH_EAGAIN;
}

const char *start_disk_cure(int err)
{
    switch (err) {
    case MESH_EFULL: return "free some space on that disk";
    case MESH_EUNAUTHORIZED: return "let this user write there";
    case MESH_ENOMEM: return "give the broker more memory";
    default: return "look into the kernel's log for errors of the disk; what is on it stays as it is";
    }
}

/* Of the directory, or of the one where it would be made; false: not known. */
static bool free_bytes(const char *path, uint64_t *ret_bytes)
{
    char directory[PATH_MAX];
    struct statvfs disk;

    if (snprintf(directory, sizeof(directory), "%s", path) >= (int)sizeof(directory)) return false;
    while (statvfs(directory, &disk) != 0) {
        char *slash = strrchr(directory, '/');

        if (errno != ENOENT || strcmp(directory, ".") == 0 || slash == directory) return false;
        if (slash == NULL) snprintf(directory, sizeof(directory), ".");
        else *slash = '\0';
    }
    *ret_bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
    return true;
}

/* Who begins on a disk that is about to be full gets half way, and waits for a mesh that cannot write down that it was founded. A broker that has data starts on a full
 * disk: what it has can be read. */
static int check_room(const char *data_dir)
{
    char identity[PATH_MAX];
    uint64_t bytes;

    if (snprintf(identity, sizeof(identity), "%s/%s", data_dir, IDENTITY_PATH) >= (int)sizeof(identity) || access(identity, F_OK) == 0) return 0;
    if (!free_bytes(data_dir, &bytes) || bytes >= FIRST_START_BYTES_MIN) return 0;
    log_error("cannot begin on this disk, which has %llu KiB free and needs to have %u: free some space, or choose another disk with --data data=\"%s\"",
              (unsigned long long)(bytes >> 10), FIRST_START_BYTES_MIN >> 10, data_dir);
    return MESH_EFULL;
}

bool broker_finds_foreign(const char *data_dir, char name[NAME_MAX + 1])
{
    static const char *const own[] = {IDENTITY_PATH, LOCK_PATH}; /* a broker has been there */
    char path[PATH_MAX];
    const struct dirent *entry;
    DIR *directory;

    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        if (snprintf(path, sizeof(path), "%s/%s", data_dir, own[i]) >= (int)sizeof(path) || access(path, F_OK) == 0) return false;
    directory = opendir(data_dir);
    if (directory == NULL) return false;
    while ((entry = readdir(directory)) != NULL && (entry->d_name[0] == '.' || strcmp(entry->d_name, "lost+found") == 0 || strcmp(entry->d_name, "key") == 0))
        ;
    if (entry != NULL) snprintf(name, NAME_MAX + 1, "%s", entry->d_name);
    closedir(directory);
    return entry != NULL;
}

/* A log that is written there, or a mistyped --data: no reason to refuse, as nothing of others is touched. */
static void warn_of_foreign(const char *data_dir)
{
    char name[NAME_MAX + 1];

    if (!broker_finds_foreign(data_dir, name)) return;
    log_warn("the data directory is new to brokers and not empty: its files will lie among others; to keep them apart stop it, delete what is new, and name an empty directory with --data "
             "data=\"%s\" first=\"%s\"", data_dir, name);
}

int start_data_dir(struct broker *broker)
{
    int err = check_room(broker->data_dir);

    if (err != 0) return err;
    warn_of_foreign(broker->data_dir);
    err = fs_real_new(broker->data_dir, &broker->fs);
    if (err != 0) {
        log_error("cannot open the data directory: --data wants a directory, or the name of a new one in an existing one, that this user may write data=\"%s\" error=\"%s\"",
                  broker->data_dir, errno != 0 ? strerror(errno) : mesh_strerror(err));
        return err;
    }
    err = broker->fs->ops->lock(broker->fs, LOCK_PATH);
    if (err == MESH_ELOCKED)
        log_error("another broker is running on this data directory: stop it, or choose another directory with "
                  "--data data=\"%s\"",
                  broker->data_dir);
    else if (err != 0)
        log_error("cannot lock the data directory: %s data=\"%s\" error=\"%s\"", start_disk_cure(err), broker->data_dir, mesh_strerror(err));
    return err;
}

uint64_t start_raise_descriptors(uint64_t connections_max)
{
    struct rlimit limit;
    uint64_t possible;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return connections_max;
    if (limit.rlim_cur < limit.rlim_max && limit.rlim_cur < DESCRIPTORS_WANTED) {
        limit.rlim_cur = limit.rlim_max < DESCRIPTORS_WANTED ? limit.rlim_max : DESCRIPTORS_WANTED;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (limit.rlim_cur == RLIM_INFINITY) return connections_max;
    possible = limit.rlim_cur > 2 * DESCRIPTORS_FOR_US ? limit.rlim_cur - DESCRIPTORS_FOR_US : limit.rlim_cur / 2;
    if (possible >= connections_max) return connections_max;
    log_warn("connections.max is lowered: the system allows this process few descriptors (ulimit -n) limit=%llu",
             (unsigned long long)possible);
    return possible;
}

/* ---- recovery ---- */

static void on_recovery_event(void *user, bool is_damage, const char *text)
{
    (void)user;
    log_write(is_damage ? LOG_LEVEL_ERROR : LOG_LEVEL_WARN, "%s", text);
}

int start_recover(struct broker *broker, struct recovery_catalog **ret_catalog, struct recovery_report *ret_report)
{
    int err = recovery_run(broker->fs, on_recovery_event, NULL, ret_catalog, ret_report);

    if (err == MESH_EVERSION) {
        log_error("the data directory was written by a newer mesh: start that version; nothing was changed data=\"%s\"", broker->data_dir);
        return err;
    }
    if (err != 0) {
        log_error("recovery failed, nothing was served: %s data=\"%s\" error=\"%s\"", start_disk_cure(err), broker->data_dir, mesh_strerror(err));
        return err;
    }
    log_info("recovered clean=%s logs=%llu replayed_batches=%llu replayed_bytes=%llu checked_bytes=%llu torn_tails=%llu "
             "holes=%llu ms=%llu",
             ret_report->was_clean ? "yes" : "no", (unsigned long long)ret_report->log_count,
             (unsigned long long)ret_report->replayed_batches, (unsigned long long)ret_report->replayed_bytes,
             (unsigned long long)ret_report->checked_bytes, (unsigned long long)ret_report->torn_tails,
             (unsigned long long)ret_report->holes, (unsigned long long)ret_report->duration_ms);
    return 0;
}

/* ---- logs ---- */

struct id_list {
    struct plog_id *ids; /* owned */
    size_t count, capacity;
    bool has_failed;
};

static void id_list_add(void *user, const struct plog_id *id)
{
    struct id_list *list = user;

    if (list->count == list->capacity) {
        size_t capacity = list->capacity == 0 ? 64 : list->capacity * 2;
        struct plog_id *ids = realloc(list->ids, capacity * sizeof(*ids));

        if (ids == NULL) {
            list->has_failed = true;
            return;
        }
        list->ids = ids;
        list->capacity = capacity;
    }
    list->ids[list->count++] = *id;
}

static int delete_log(struct shard *shard, const struct plog_id *id, struct plog_recovered *recovered)
{
    struct plog_config config;
    struct plog *plog;
    int err;

    plog_config_init(&config);
    err = store_open_log(shard->store, id, &config, recovered, &plog);
    if (err == 0) plog_delete(plog);
    return err;
}

static int quarantine_log(struct broker *broker, const struct plog_id *id)
{
    char text[UUID_STRING_SIZE];
    int err = recovery_quarantine_topic(broker->fs, &id->topic_id);

    if (err == MESH_ENOTFOUND) return 0; /* moved with an earlier partition of it */
    if (err == 0)
        event_note(&broker->control.events, EVENT_DISK, LOG_LEVEL_WARN, "files of a topic that the metadata do not know were moved to quarantine/ topic_id=%s",
                 uuid_format(&id->topic_id, text));
    else
        log_error("cannot move an unknown topic to quarantine/ topic_id=%s error=\"%s\"",
                  uuid_format(&id->topic_id, text), mesh_strerror(err));
    return err;
}

static int open_log(struct broker *broker, struct recovery_catalog *catalog, const struct plog_id *id)
{
    const struct image *image = metadata_image(broker->control.metadata);
    struct shard *shard = broker->shards[image_shard_of(&id->topic_id, id->partition, broker->shard_count)];
    struct plog_recovered *recovered = recovery_take(catalog, id);

    if (recovered == NULL) return 0;
    if (image_find_topic(image, &id->topic_id) != NULL)
        return shard_partition_open_recovered(shard, id, recovered);
    if (image_topic_was_deleted(image, &id->topic_id)) return delete_log(shard, id, recovered);
    plog_recovered_free(recovered);
    return quarantine_log(broker, id);
}

struct search {
    const struct image *image;
    bool has_strangers;
};

static void look_for_stranger(void *user, const struct plog_id *id)
{
    struct search *search = user;

    search->has_strangers |= image_find_topic(search->image, &id->topic_id) == NULL && !image_topic_was_deleted(search->image, &id->topic_id);
}

bool start_has_strangers(const struct broker *broker, struct recovery_catalog *catalog)
{
    struct search search = {metadata_image(broker->control.metadata), false};

    recovery_each(catalog, look_for_stranger, &search);
    return search.has_strangers;
}

int start_open_logs(struct broker *broker, struct recovery_catalog *catalog)
{
    struct id_list list = {NULL, 0, 0, false};
    int err = 0;

    recovery_each(catalog, id_list_add, &list);
    if (list.has_failed) err = MESH_ENOMEM;
    for (size_t i = 0; i < list.count && err == 0; i++)
        err = open_log(broker, catalog, &list.ids[i]);
    free(list.ids);
    if (err != 0) log_error("cannot open the partitions' logs: %s data=\"%s\" error=\"%s\"", start_disk_cure(err), broker->data_dir, mesh_strerror(err));
    return err;
}

/* ---- before a start ---- */

static int try_udp(int tcp_fd)
{
    struct sockaddr_storage name;
    socklen_t size = sizeof(name);
    int fd, error = 0;

    if (getsockname(tcp_fd, (struct sockaddr *)&name, &size) != 0) return errno;
    fd = socket(name.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&name, size) != 0) error = errno;
    if (fd >= 0) close(fd);
    return error;
}

int broker_try_port(const char *listen, int *ret_udp_errno, char message[BROKER_PORT_MESSAGE_SIZE])
{
    uint16_t port;
    char *host;
    int fd, err = accept_bind(listen, 1, &fd, &host, &port, message);

    if (err != 0) return err;
    *ret_udp_errno = try_udp(fd);
    close(fd);
    free(host);
    return 0;
}

uint64_t broker_memory_wanted(const struct settings *settings, const struct machine_share *machine, uint32_t *shard_count)
{
    struct settings lowered = *settings;

    budgets_lower(&lowered, machine);
    if (*shard_count == 0) *shard_count = budgets_shard_count(machine, BROKER_SHARDS_MAX);
    return lowered.memory_bytes_max + lowered.groups_cache_bytes_max + budgets_store_bytes(&lowered, machine, *shard_count);
}
