#include "cmd/cli/bench.h"

#include "base/error.h"
#include "base/random.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* ---- CPU times ---- */

int bench_parse_stat(const char *line, uint64_t *ret_ticks)
{
    /* The second field is the program's name in parentheses and may hold anything: count from the last one.
     */
    const char *after_name = strrchr(line, ')');
    uint64_t user, system;

    if (after_name == NULL) return MESH_EINVAL;
    if (sscanf(after_name + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64, &user,
               &system) != 2)
        return MESH_EINVAL;
    *ret_ticks = user + system;
    return 0;
}

static double broker_cpu(pid_t pid)
{
    char path[64], line[2048];
    uint64_t ticks;
    ssize_t size;
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return -1;
    size = read(fd, line, sizeof(line) - 1);
    (void)close(fd); /* nothing was written */
    if (size <= 0) return -1;
    line[size] = '\0';
    return bench_parse_stat(line, &ticks) == 0 ? (double)ticks / (double)sysconf(_SC_CLK_TCK) : -1;
}

static double seconds_of(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

struct bench_cpu bench_cpu_now(const struct bench *bench)
{
    struct bench_cpu cpu = {0, -1};
    struct rusage usage;

    if (getrusage(RUSAGE_SELF, &usage) == 0)
        cpu.client = seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
    if (bench->broker_pid > 0) cpu.broker = broker_cpu(bench->broker_pid);
    return cpu;
}

/* ---- setting up ---- */

static void fill_text(struct random *random, uint8_t *to, size_t size)
{
    static const char *const words[] = {"broker ", "record ", "offset ",  "the ", "of ",        "a ",
                                        "leader ", "epoch ",  "batch ",   "and ", "partition ", "journal ",
                                        "to ",     "in ",     "segment ", "\n"};

    for (size_t at = 0; at < size;) {
        const char *word = words[random_below(random, sizeof(words) / sizeof(words[0]))];
        size_t take = strlen(word) < size - at ? strlen(word) : size - at;
        memcpy(to + at, word, take);
        at += take;
    }
}

static int make_payload(struct bench *bench)
{
    const char *kind = arguments_text(bench->arguments, "payload", "random");
    struct random random;

    bench->payload_size = bench->record_size + BENCH_PAYLOAD_WINDOWS + sizeof(uint64_t);
    bench->payload = calloc(bench->payload_size, 1);
    if (bench->payload == NULL) return MESH_ENOMEM;
    random_init(&random, 1);
    if (strcmp(kind, "text") == 0) fill_text(&random, bench->payload, bench->payload_size);
    for (size_t at = 0; strcmp(kind, "random") == 0 && at + sizeof(uint64_t) <= bench->payload_size;
         at += sizeof(uint64_t)) {
        uint64_t word = random_next(&random);
        memcpy(bench->payload + at, &word, sizeof(word));
    }
    return 0;
}

/* The pid in a broker's ready.json. */
static int pid_from_ready_file(const char *path, pid_t *ret_pid)
{
    json_error_t fault;
    json_t *root = json_load_file(path, 0, &fault);
    json_t *pid = json_object_get(root, "pid");
    int err = MESH_EINVAL;

    if (json_is_integer(pid) && json_integer_value(pid) > 0) {
        *ret_pid = (pid_t)json_integer_value(pid);
        err = 0;
    }
    json_decref(root);
    return err;
}

static int create_topic(struct bench *bench)
{
    struct mesh_topic_options *options = NULL;
    int err = mesh_topic_options_new(&options);

    if (err == 0)
        err = mesh_topic_options_set_partitions(
            options, (int32_t)arguments_integer(bench->arguments, "partitions", 1));
    if (err == 0 && arguments_has(bench->arguments, "flush"))
        err = mesh_topic_options_set(options, "flush", arguments_text(bench->arguments, "flush", "group"));
    if (err == 0) err = mesh_topic_create(bench->session.client, bench->temporary_topic, options);
    mesh_topic_options_free(options);
    return err;
}

/* The topic that is named, which must exist, or a new one under a name that nobody else has. */
static int set_up_topic(struct bench *bench)
{
    uint8_t random_bytes[8];
    uint64_t number;
    int err;

    bench->topic = arguments_text(bench->arguments, "topic", NULL);
    if (bench->topic != NULL) {
        struct mesh_topic_list *list = NULL;
        err = mesh_topic_describe(bench->session.client, bench->topic, &list);
        mesh_topic_list_free(list);
        return err == 0 ? EXIT_DONE : (int)session_fail(&bench->session, err, "topic '%s'", bench->topic);
    }
    random_system_bytes(random_bytes, sizeof(random_bytes));
    memcpy(&number, random_bytes, sizeof(number));
    snprintf(bench->temporary_topic, sizeof(bench->temporary_topic), "bench-%016" PRIx64, number);
    bench->topic = bench->temporary_topic;
    err = create_topic(bench);
    if (err == 0) return EXIT_DONE;
    bench->temporary_topic[0] = '\0';
    return (int)session_fail(&bench->session, err, "creating a temporary topic");
}

int bench_open(struct bench *bench, const struct arguments *arguments, size_t record_size_default)
{
    const char *ready_file = arguments_text(arguments, "ready-file", NULL);
    int code;

    *bench = (struct bench){.arguments = arguments};
    if (arguments_has(arguments, "topic") &&
        (arguments_has(arguments, "partitions") || arguments_has(arguments, "flush")))
        return (int)failure_usage(arguments->command->name,
                                  "--partitions and --flush are for a temporary topic, not for --topic");
    bench->record_size = (size_t)arguments_size(arguments, "record-size", (int64_t)record_size_default);
    bench->broker_pid = (pid_t)arguments_integer(arguments, "broker-pid", 0);
    if (ready_file != NULL && pid_from_ready_file(ready_file, &bench->broker_pid) != 0)
        return (int)failure_report(false, MESH_EINVAL, "no ready.json of a running broker", "%s", ready_file);
    code = (int)session_open(arguments, &bench->session);
    if (code != EXIT_DONE) return code;
    if (make_payload(bench) != 0)
        return (int)failure_report(bench->session.is_json, MESH_ENOMEM, NULL, "making the payload");
    return set_up_topic(bench);
}

void bench_close(struct bench *bench)
{
    int err;

    if (bench->temporary_topic[0] != '\0') {
        err = mesh_topic_delete(bench->session.client, bench->temporary_topic);
        if (err != 0)
            failure_report(false, err, mesh_client_error(bench->session.client),
                           "the temporary topic '%s' stays behind", bench->temporary_topic);
    }
    free(bench->payload);
    bench->payload = NULL;
    if (bench->session.client != NULL) session_close(&bench->session);
}
