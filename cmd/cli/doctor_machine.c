/* doctor_machine.c - what the system allows this user, the clock, and the cluster key. */
#include "cmd/cli/doctor.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/machine.h"
#include "cmd/broker/broker.h"
#include "cmd/cli/key_places.h"
#include "cmd/cli/terminal.h"
#include "crypto/crypto.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/timex.h>

#define DESCRIPTORS_BESIDE 512                    /* files and sockets beside clients' connections, as a start counts them */
#define MEMORY_LEAST       (64ull << 20)

/* ---- limits ---- */

static void check_descriptors(struct doctor *doctor)
{
    uint64_t wanted = doctor->settings->broker.connections_max + DESCRIPTORS_BESIDE;
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    if (limit.rlim_max != RLIM_INFINITY && limit.rlim_max < wanted)
        doctor_find(doctor, DOCTOR_WARNING, "limits", "raise it (LimitNOFILE= of systemd, ulimit -Hn), or set connections.max lower: a start does so by itself",
                    "%llu descriptors may be open, and connections.max=%llu wants %llu", (unsigned long long)limit.rlim_max,
                    (unsigned long long)doctor->settings->broker.connections_max, (unsigned long long)wanted);
    else
        doctor_find(doctor, DOCTOR_OK, "limits", "", "enough descriptors for connections.max=%llu", (unsigned long long)doctor->settings->broker.connections_max);
}

static void check_sizes(struct doctor *doctor)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        doctor_find(doctor, DOCTOR_ERROR, "limits", "lift it (ulimit -f unlimited): a log that meets it counts as failed", "files may have %llu bytes at most",
                    (unsigned long long)limit.rlim_cur);
    if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < doctor->settings->broker.memory_bytes_max + MEMORY_LEAST)
        doctor_find(doctor, DOCTOR_WARNING, "limits", "lift it (ulimit -v), or set memory.bytes.max lower", "%llu bytes of memory may be used, and memory.bytes.max=%llu",
                    (unsigned long long)limit.rlim_cur, (unsigned long long)doctor->settings->broker.memory_bytes_max);
}

/* What the machine, or its control group, leaves for a broker, beside what the settings let it take. */
static void check_memory(struct doctor *doctor)
{
    char has[TERMINAL_FIGURE_SIZE], wants[TERMINAL_FIGURE_SIZE];
    uint32_t shards = doctor->settings->shard_count;
    struct machine_share machine;
    uint64_t wanted;

    machine_share_find("", &machine);
    wanted = broker_memory_wanted(&doctor->settings->broker, &machine, &shards);
    terminal_bytes(machine.memory_bytes, has);
    terminal_bytes(wanted, wants);
    if (wanted > machine.memory_bytes / 4 * 3)
        doctor_find(doctor, DOCTOR_WARNING, "limits", "set memory.bytes.max, store.memory.bytes.max or groups.cache.bytes.max lower, or give it more memory",
                    "%s of memory for a broker that may take %s, and more for what has no limit", has, wants);
    else
        doctor_find(doctor, DOCTOR_OK, "limits", "", "%s of memory%s: the limits take %s of it at most; %u shard%s", has, machine.is_memory_limited ? " by the control group" : "", wants, shards,
                    shards == 1 ? "" : "s");
}

/* ---- clock ---- */

static void check_clock(struct doctor *doctor)
{
    struct timex facts = {0};
    int state = adjtimex(&facts);
    uint64_t before = clock_monotonic_ns(), after = clock_monotonic_ns();

    if (clock_wall_ms() < BROKER_CLOCK_LEAST_MS)
        doctor_find(doctor, DOCTOR_ERROR, "clock", "set it: retention and what consumers ask by time go by it, and no broker starts", "it stands before the year 2025");
    else if (state == TIME_ERROR || (state >= 0 && (facts.status & STA_UNSYNC) != 0))
        doctor_find(doctor, DOCTOR_WARNING, "clock", "run chrony or systemd-timesyncd, here or on the host: retention and what consumers ask by time go by it",
                    "nothing keeps it in step, says the kernel");
    else
        doctor_find(doctor, DOCTOR_OK, "clock", "", "%s", state < 0 ? "set" : "set, and kept in step");
    if (after < before)
        doctor_find(doctor, DOCTOR_ERROR, "clock", "every timeout goes by it: move to another machine", "the monotonic clock runs backwards");
}

/* ---- key ---- */

static void check_key(struct doctor *doctor)
{
    struct key_places places;
    char message[512] = "";
    int err;

    crypto_init();
    doctor->keyring = keyring_new();
    if (doctor->keyring == NULL) return;
    key_places_gather(&places, doctor->settings->key_file, doctor->settings->data);
    err = key_file_find(&places, doctor->key_path, message, sizeof(message));
    if (err == MESH_ENOTFOUND && doctor->arguments->operand_count == 0)
        doctor_find(doctor, DOCTOR_OK, "key", "", "there is none: 'mesh serve' makes it");
    else if (err == MESH_ENOTFOUND)
        doctor_find(doctor, DOCTOR_ERROR, "key", "'mesh key show' prints it on a machine of that mesh: put it in ~/.config/mesh/key (mode 0600), or name its file with --key-file",
                    "there is none, and joining needs that of the mesh");
    else if (err != 0 || (err = key_file_read(doctor->key_path, doctor->keyring, message, sizeof(message))) != 0)
        doctor_find(doctor, DOCTOR_ERROR, "key", "", "%s", message);
    else
        doctor_find(doctor, DOCTOR_OK, "key", "", "%.200s is readable for this user alone, and holds a key", doctor->key_path);
    if (err == 0) return;
    keyring_free(doctor->keyring);
    doctor->keyring = NULL;
}

void doctor_machine(struct doctor *doctor)
{
    check_descriptors(doctor);
    check_sizes(doctor);
    check_memory(doctor);
    check_clock(doctor);
    check_key(doctor);
}
