/* mesh: finds the command, parses its line against the table, and runs it. */
#include "base/assert.h"
#include "cmd/cli/commands.h"
#include "cmd/cli/failure.h"
#include "cmd/cli/help_command.h"
#include "cmd/cli/suggest.h"

#include <mesh/error.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME_SIZE_MAX 80

static int (*const runners[COMMAND_COUNT])(const struct arguments *) = {
    [COMMAND_SERVE] = command_serve,
    [COMMAND_JOIN] = command_join,
    [COMMAND_LEAVE] = command_leave,
    [COMMAND_REMOVE] = command_remove,
    [COMMAND_RECOVER] = command_recover,
    [COMMAND_MEMBERS] = command_members,
    [COMMAND_GROUP_LIST] = command_group_list,
    [COMMAND_GROUP_DESCRIBE] = command_group_describe,
    [COMMAND_GROUP_LAG] = command_group_lag,
    [COMMAND_GROUP_RESET] = command_group_reset,
    [COMMAND_GROUP_DELETE] = command_group_delete,
    [COMMAND_KEY_SHOW] = command_key_show,
    [COMMAND_KEY_GENERATE] = command_key_generate,
    [COMMAND_KEY_LIST] = command_key_list,
    [COMMAND_KEY_ROTATE] = command_key_rotate,
    [COMMAND_USER_ADD] = command_user_add,
    [COMMAND_USER_LIST] = command_user_list,
    [COMMAND_USER_PASSWD] = command_user_passwd,
    [COMMAND_USER_REMOVE] = command_user_remove,
    [COMMAND_TOPIC_CREATE] = command_topic_create,
    [COMMAND_TOPIC_LIST] = command_topic_list,
    [COMMAND_TOPIC_DESCRIBE] = command_topic_describe,
    [COMMAND_TOPIC_ALTER] = command_topic_alter,
    [COMMAND_TOPIC_DELETE] = command_topic_delete,
    [COMMAND_TOPIC_MOVE] = command_topic_move,
    [COMMAND_TOPIC_BALANCE] = command_topic_balance,
    [COMMAND_TOPIC_TRIM] = command_topic_trim,
    [COMMAND_PRODUCE] = command_produce,
    [COMMAND_CONSUME] = command_consume,
    [COMMAND_STATUS] = command_status,
    [COMMAND_EVENTS] = command_events,
    [COMMAND_DRAIN] = command_drain,
    [COMMAND_CONFIG_LIST] = command_config_list,
    [COMMAND_CONFIG_GET] = command_config_get,
    [COMMAND_CONFIG_SET] = command_config_set,
    [COMMAND_CONFIG_UNSET] = command_config_unset,
    [COMMAND_TOP] = command_top,
    [COMMAND_DOCTOR] = command_doctor,
    [COMMAND_WHY] = command_why,
    [COMMAND_BENCH_PRODUCE] = command_bench_produce,
    [COMMAND_BENCH_CONSUME] = command_bench_consume,
    [COMMAND_BENCH_LATENCY] = command_bench_latency,
    [COMMAND_BENCH_GROUPS] = command_bench_groups,
    [COMMAND_VERSION] = command_version,
    [COMMAND_HELP] = command_help,
};

/* Runs a command of the table on the words after its name. */
static int run_command(const struct command_spec *command, int argc, char **argv)
{
    struct buffer fault = BUFFER_INIT;
    struct arguments arguments;
    int code, err = arguments_parse(command, argc, argv, &arguments, &fault);

    if (err == MESH_ENOMEM) {
        code = (int)failure_report(false, err, NULL, "%s", command->name);
    } else if (err != 0) {
        code = (int)failure_usage(command->name,
                                  fault.data != NULL ? (const char *)fault.data : mesh_strerror(err));
    } else {
        MESH_ASSERT(runners[command->id] != NULL && command == &command_table[command->id]);
        code = arguments_has(&arguments, "help") ? help_print_command(command)
                                                 : runners[command->id](&arguments);
        arguments_deinit(&arguments);
    }
    buffer_deinit(&fault);
    return code;
}

static int report_unknown(const char *name)
{
    const char *candidates[COMMAND_COUNT + 8], *nearest;
    char fault[NAME_SIZE_MAX * 3];
    size_t count = 0;

    for (size_t i = 0; i < COMMAND_COUNT; i++)
        candidates[count++] = command_table[i].name;
    for (size_t i = 0; i < command_group_count && i < 8; i++)
        candidates[count++] = command_groups[i].name;
    nearest = suggestion_nearest(name, candidates, count);
    if (nearest != NULL)
        snprintf(fault, sizeof(fault), "there is no command '%.80s'; did you mean '%s'?", name, nearest);
    else
        snprintf(fault, sizeof(fault), "there is no command '%.80s'", name);
    return (int)failure_usage("", fault);
}

static bool is_word(const char *word, const char *a, const char *b)
{
    return strcmp(word, a) == 0 || strcmp(word, b) == 0;
}

/* "mesh GROUP ...": the second word completes the command's name. */
static int run_group(const struct command_group *group, int argc, char **argv)
{
    const struct command_spec *command;
    char name[NAME_SIZE_MAX];

    if (argc == 0 || is_word(argv[0], "--help", "-h")) {
        int code = help_print_group(group, argc == 0);
        return argc == 0 ? EXIT_USAGE : code;
    }
    snprintf(name, sizeof(name), "%s %.40s", group->name, argv[0]);
    command = command_find(name);
    return command != NULL ? run_command(command, argc - 1, argv + 1) : report_unknown(name);
}

/* A reader that goes away is told by write(2): standard_output.h. */
static void ignore_pipe_signal(void)
{
    struct sigaction action;

    memset(&action, 0, sizeof(action));
    action.sa_handler = SIG_IGN;
    (void)sigaction(SIGPIPE, &action, NULL);
}

/* Numbers 0 to 2 that nobody opened would go to the first sockets and files, and messages or records into
 * them. What takes their place can neither be read nor written the way it is meant to be, so that a command
 * notices. */
static void occupy_standard_streams(void)
{
    static const int wrong_way[] = {O_WRONLY, O_RDONLY, O_RDONLY};

    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", wrong_way[fd]) != fd) abort();
}

int main(int argc, char **argv)
{
    const struct command_spec *command;
    const struct command_group *group;

    occupy_standard_streams();
    ignore_pipe_signal();
    if (argc < 2) {
        (void)help_print_overview(true);
        return EXIT_USAGE;
    }
    if (is_word(argv[1], "--help", "-h")) return help_print_overview(false);
    if (is_word(argv[1], "--version", "-V")) return run_command(&command_table[COMMAND_VERSION], 0, argv + 2);
    group = command_find_group(argv[1]);
    if (group != NULL) return run_group(group, argc - 2, argv + 2);
    command = command_find(argv[1]);
    return command != NULL ? run_command(command, argc - 2, argv + 2) : report_unknown(argv[1]);
}
