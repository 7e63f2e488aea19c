/* A broker's settings: where they come from, which one holds, and what a wrong one is told. */
#include "base/log.h"
#include "cmd/cli/serve_settings.h"
#include "support/run_suite.h"

#include <mesh/error.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* Writes a configuration file and returns its name in `path`, which holds a template for mkstemp(3). */
static void write_file(char *path, const char *text)
{
    int fd = mkstemp(path);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static int gather(int argc, const char *const *words, char *const *environment,
                  struct serve_settings *settings, struct buffer *fault)
{
    struct arguments arguments;
    int err = arguments_parse(command_find("serve"), argc, (char **)(uintptr_t)words, &arguments, fault);

    ck_assert_int_eq(err, 0);
    err = serve_settings_gather(settings, &arguments, environment, fault);
    arguments_deinit(&arguments);
    return err;
}

START_TEST(later_places_win_over_earlier_ones)
{
    char path[] = "/tmp/mesh-settings-XXXXXX";
    const char *argv[] = {"--config", path,        "--set", "topic.partitions=4",
                          "--name",   "by-option", "--set", "name=by-set"};
    const char *environment[] = {"MESH_TOPIC_PARTITIONS=3",
                                 "MESH_ZONE=by-environment",
                                 "MESH_NAME=e",
                                 "MESH_PORT=tcp://10.0.0.1",
                                 "MESH_BROKER=x:1",
                                 "MESH_LISTEN=",
                                 NULL};
    struct buffer fault = BUFFER_INIT;
    struct serve_settings settings;

    write_file(path,
               "# a remark\n\n  topic.partitions = 2 \nzone=by-file\nlisten = 127.0.0.1:1234\nshards=3");
    ck_assert_int_eq(gather(COUNT_OF(argv), argv, (char *const *)(uintptr_t)environment, &settings, &fault),
                     0);
    ck_assert_uint_eq(settings.broker.topic_partitions, 4);
    ck_assert_str_eq(settings.zone, "by-environment");
    ck_assert_str_eq(settings.name, "by-option");
    ck_assert_str_eq(settings.listen, "127.0.0.1:1234"); /* an empty variable sets nothing */
    ck_assert_uint_eq(settings.shard_count, 3);
    ck_assert_ptr_null(settings.data);
    serve_settings_deinit(&settings);
    buffer_deinit(&fault);
    unlink(path);
}
END_TEST

/* A text replaces what it names, and leaves the other port as it was. */
START_TEST(each_port_is_listened_on_as_it_was_last_named)
{
    const char *argv[] = {"--listen", "kafka-gateway://127.0.0.1:1", "--listen", "0.0.0.0:2", "--listen", "kafka-gateway://[::1]:3"};
    const char *environment[] = {"MESH_LISTEN=127.0.0.1:9,kafka-gateway://127.0.0.1:8", NULL};
    struct buffer fault = BUFFER_INIT;
    struct serve_settings settings;

    ck_assert_int_eq(gather(2, argv, (char *const *)(uintptr_t)environment, &settings, &fault), 0);
    ck_assert_str_eq(settings.listen, "127.0.0.1:9");
    ck_assert_str_eq(settings.gateway_listen, "127.0.0.1:1");
    serve_settings_deinit(&settings);
    ck_assert_int_eq(gather(COUNT_OF(argv), argv, (char *const *)(uintptr_t)environment, &settings, &fault), 0);
    ck_assert_str_eq(settings.listen, "0.0.0.0:2");
    ck_assert_str_eq(settings.gateway_listen, "[::1]:3");
    serve_settings_deinit(&settings);
    buffer_deinit(&fault);
}
END_TEST

static const struct {
    const char *file;
    const char *in_fault;
} file_cases[] = {
    {"conections.max=1\n", "did you mean connections.max?"},
    {"\n\nnonsense\n", ":3: 'nonsense' is not of the form KEY = VALUE"},
    {"= 5\n", "is not of the form KEY = VALUE"},
    {"connections.max = many\n", "connections.max"},
    {"shards = 0\n", "shards: '0' is not a whole number"},
    {"name =\n", "name is empty"},
    {"listen = http://h:1\n", "'http://h:1' is nothing to listen on"},
    {"listen = h:1,\n", "is nothing to listen on"},
    {"listen = kafka-gateway://\n", "is nothing to listen on"},
    {"log-format = xml\n", "log-format is one of text, logfmt, json, not 'xml'"},
    {"log-level = INFO\n", "log-level is one of debug, info, warn, error, not 'INFO'"},
    {"topc.retention.ms=1d\n", "did you mean topic.retention.ms?"},
};
START_TEST(faults_name_the_place_and_the_cause)
{
    struct serve_settings settings;
    struct buffer fault = BUFFER_INIT;

    memset(&settings, 0, sizeof(settings));
    settings_init(&settings.broker);
    ck_assert_int_eq(
        serve_settings_parse_file(&settings, file_cases[_i].file, strlen(file_cases[_i].file), "f", &fault),
        MESH_EINVAL);
    ck_assert_msg(strstr((char *)fault.data, file_cases[_i].in_fault) != NULL, "%s", (char *)fault.data);
    serve_settings_deinit(&settings);
    buffer_deinit(&fault);
}
END_TEST

static const struct {
    const char *variable, *meant; /* NULL: it is left alone */
} variable_cases[] = {
    {"MESH_LISTN=127.0.0.1:1", "MESH_LISTEN"},
    {"MESH_CONECTIONS_MAXX=5", "MESH_CONNECTIONS_MAX"},
    {"MESH_NAMES=b1", "MESH_NAME"},
    {"MESH_listen=127.0.0.1:1", "MESH_LISTEN"},
    {"MESH_TOPIC_RETENTION_SM=1", "MESH_TOPIC_RETENTION_MS"},
    {"MESH_CONECTIONS_MAX=", NULL}, /* empty: it would set nothing if it were right */
    {"MESH_SERVICE_HOST=10.0.0.1", NULL},
    {"MESH_SERVICE_PORT_CLIENTS=9092", NULL},
    {"MESH_PORT=tcp://10.0.0.1:9092", NULL},
    {"MESH_PORT_9092_TCP_ADDR=10.0.0.1", NULL},
    {"MESH_ZONE_SERVICE_PORT=1", NULL},
    {"MESH_BROKER=a:1", NULL},
    {"MESH_NODE=x", NULL}, /* two away from a short name */
    {"MESH_=x", NULL},
    {"MESH_LISTN", NULL}, /* no variable */
};
START_TEST(a_variable_that_nearly_names_a_setting_is_refused)
{
    const char *environment[] = {variable_cases[_i].variable, "MESH_ZONE=z", NULL};
    struct buffer fault = BUFFER_INIT;
    struct serve_settings settings;
    int err = gather(0, NULL, (char *const *)(uintptr_t)environment, &settings, &fault);
    char expected[128];

    if (variable_cases[_i].meant == NULL) {
        ck_assert_msg(err == 0, "%s", (char *)fault.data);
        ck_assert_str_eq(settings.zone, "z");
    } else {
        ck_assert_int_eq(err, MESH_EINVAL);
        snprintf(expected, sizeof(expected), "did you mean %s?", variable_cases[_i].meant);
        ck_assert_msg(strstr((char *)fault.data, expected) != NULL, "%s", (char *)fault.data);
    }
    serve_settings_deinit(&settings);
    buffer_deinit(&fault);
}
END_TEST

START_TEST(the_log_and_defaults_of_topics_are_set_everywhere_alike)
{
    const char *argv[] = {"--log-level", "debug"};
    const char *environment[] = {"MESH_LOG_FORMAT=json", "MESH_LOG_LEVEL=error", "MESH_TOPIC_RETENTION_MS=1d", NULL};
    struct buffer fault = BUFFER_INIT;
    struct serve_settings settings;

    ck_assert_int_eq(gather(COUNT_OF(argv), argv, (char *const *)(uintptr_t)environment, &settings, &fault), 0);
    ck_assert_uint_eq(settings.log_format, LOG_FORMAT_JSON + 1);
    ck_assert_uint_eq(settings.broker.log_level, LOG_LEVEL_DEBUG);
    ck_assert_uint_eq(settings.broker.sources[settings_index("log-level")], SETTING_OPTION);
    ck_assert_uint_eq(settings.broker.topic_defaults[0].source, SETTING_ENVIRONMENT);
    ck_assert_uint_eq(settings.broker.topic_default_count, 1);
    ck_assert_str_eq(settings.broker.topic_defaults[0].key, "retention.ms");
    ck_assert_str_eq(settings.broker.topic_defaults[0].value, "1d");
    serve_settings_deinit(&settings);
    buffer_deinit(&fault);
}
END_TEST

/* --quiet is an option: it comes before file and environment, not before what names the level. */
START_TEST(quiet_is_a_level_like_any_other)
{
    const char *quiet[] = {"--quiet"}, *both[] = {"--log-level", "info", "--quiet"}, *pair[] = {"--quiet", "--set", "log-level=debug"};
    const struct {
        const char *const *argv;
        int argc;
        uint64_t level;
    } lines[] = {{NULL, 0, LOG_LEVEL_ERROR}, {quiet, 1, LOG_LEVEL_WARN}, {both, 3, LOG_LEVEL_INFO}, {pair, 3, LOG_LEVEL_DEBUG}};
    const char *environment[] = {"MESH_LOG_LEVEL=error", NULL};

    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        struct buffer fault = BUFFER_INIT;
        struct serve_settings settings;

        ck_assert_int_eq(gather(lines[i].argc, lines[i].argv, (char *const *)(uintptr_t)environment, &settings, &fault), 0);
        ck_assert_uint_eq(settings.broker.log_level, lines[i].level);
        serve_settings_deinit(&settings);
        buffer_deinit(&fault);
    }
}
END_TEST

START_TEST(unreadable_and_binary_files_are_told)
{
    const char *missing[] = {"--config", "/nowhere/mesh.conf"}, *directory[] = {"--config", "/"};
    char *environment[] = {NULL}, long_line[6000];
    struct serve_settings settings;
    struct buffer fault = BUFFER_INIT;

    ck_assert_int_eq(gather(2, missing, environment, &settings, &fault), MESH_EIO);
    ck_assert_ptr_nonnull(strstr((char *)fault.data, "/nowhere/mesh.conf: No such file"));
    buffer_clear(&fault);
    ck_assert_int_eq(gather(2, directory, environment, &settings, &fault), MESH_EIO);
    buffer_clear(&fault);
    memset(long_line, 'a', sizeof(long_line));
    ck_assert_int_eq(serve_settings_parse_file(&settings, long_line, sizeof(long_line), "f", &fault),
                     MESH_EINVAL);
    ck_assert_int_eq(serve_settings_parse_file(&settings, "a\0b", 3, "f", &fault), MESH_EINVAL);
    serve_settings_deinit(&settings);
    buffer_deinit(&fault);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cli serve settings");
    TCase *tcase = tcase_create("serve settings");

    tcase_add_test(tcase, later_places_win_over_earlier_ones);
    tcase_add_test(tcase, each_port_is_listened_on_as_it_was_last_named);
    tcase_add_loop_test(tcase, faults_name_the_place_and_the_cause, 0, COUNT_OF(file_cases));
    tcase_add_loop_test(tcase, a_variable_that_nearly_names_a_setting_is_refused, 0, COUNT_OF(variable_cases));
    tcase_add_test(tcase, the_log_and_defaults_of_topics_are_set_everywhere_alike);
    tcase_add_test(tcase, unreadable_and_binary_files_are_told);
    tcase_add_test(tcase, quiet_is_a_level_like_any_other);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
