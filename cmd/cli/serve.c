/* mesh serve: gathers the settings, opens the data directory and hands over to the broker. */
#include "base/error.h"
#include "base/log.h"
#include "cmd/broker/broker.h"
#include "cmd/cli/commands.h"
#include "cmd/cli/failure.h"
#include "cmd/cli/key_places.h"
#include "cmd/cli/serve_settings.h"
#include "cmd/cli/terminal.h"
#include "crypto/crypto.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

struct serve {
    const struct serve_settings *settings;
    const char *data_dir;
    bool is_first_start;
    bool is_friendly; /* a person is watching */
};

static bool is_loopback(const char *listen)
{
    return listen == NULL || strncmp(listen, "127.", 4) == 0 || strcmp(listen, "localhost") == 0 || strncmp(listen, "localhost:", 10) == 0 ||
           strncmp(listen, "[::1]", 5) == 0;
}

/* Where logins are required other machines have to; those who speak the native protocol are not served there at all. */
static void warn_if_open(const struct serve_settings *settings, const char *listen)
{
    if (is_loopback(listen) || settings->broker.auth_required != 0) return;
    log_warn("the port is open to other machines and asks nobody who they are: keep it behind a firewall listen=%s", listen);
}

/* Shown once, and to a person only: what is logged is read by many. */
static void show_join_line(const struct broker_ready *ready)
{
    char secret[CLUSTER_KEY_TEXT_SIZE];

    cluster_key_format(keyring_in_use(ready->keyring), secret);
    fprintf(stderr,
            "  A cluster key was made, in %s. Brokers of this user on this machine join with\n"
            "    mesh join %s --listen 127.0.0.1:0 --data DIR\n"
            "  and, once this one listens on more than this machine, any other with\n"
            "    (umask 077; echo %s > mesh.key); mesh join HOST:%u --key-file mesh.key\n"
            "  Whoever has the key can join. 'mesh key show' prints it again.\n\n",
            ready->new_key_path, ready->address, secret, ready->port);
    crypto_wipe(secret, sizeof(secret));
}

/* Above the ready line: who waits for that one has all that a start says of itself. A start that fails warns of nothing. */
static void warn_of_open_ports(void *user, const struct broker_ready *ready)
{
    const struct serve *serve = user;

    (void)ready;
    warn_if_open(serve->settings, serve->settings->listen);
    warn_if_open(serve->settings, serve->settings->gateway_listen);
}

/* The broker has said that it is ready; a person also hears what comes next. */
static void greet(void *user, const struct broker_ready *ready)
{
    const struct serve *serve = user;
    bool is_default = strcmp(ready->address, "127.0.0.1:9092") == 0;
    char option[300] = "";

    if (!serve->is_friendly) return;
    if (!is_default) snprintf(option, sizeof(option), " --broker %s", ready->address);
    fprintf(stderr, "\n  Records are kept in %s%s\n", serve->data_dir, serve->is_first_start ? " (new)" : "");
    fprintf(stderr,
            "  In another terminal:\n"
            "    mesh produce greetings%s      type lines, end with Ctrl-D\n"
            "    mesh consume greetings%s\n"
            "    mesh status%s\n"
            "  Ctrl-C stops the broker; everything acknowledged stays.\n\n",
            option, option, option);
    if (ready->new_key_path != NULL) show_join_line(ready);
}

/* People are told once what went wrong, where, and what to do: by the broker, if it has logged any of that. Programs also hear that it ended. */
static int explain(int err, const char *command, const struct serve_settings *settings, bool was_told)
{
    const char *cause = mesh_strerror(err), *remedy = was_told ? "" : failure_remedy(err);

    if (log_get_format() != LOG_FORMAT_TEXT) {
        log_error("the broker ends data=\"%s\" error=\"%s\"", settings->data, cause);
    } else if (!was_told) {
        fprintf(stderr, "mesh: %s: the broker on '%s' ends: %s\n", command, settings->data, cause);
        if (remedy[0] != '\0') fprintf(stderr, "      %s\n", remedy);
    }
    return err == MESH_EINVAL || err == MESH_EINVALID_CONFIG ? EXIT_USAGE : EXIT_FAILED;
}

/* A wait that a person sees at once, and a log finds; each only when it changes. */
static void tell_waiting(void *user, const char *what, const char *cure)
{
    const struct serve *serve = user;

    if (serve->is_friendly)
        fprintf(stderr, "mesh: join: %s\n      %s\n", what, cure);
    else
        log_warn("waiting to join: %s: %s", what, cure);
}

/* First of all, so that what goes wrong is told as it was asked for. */
static void begin_log(const struct serve_settings *settings)
{
    if (settings->log_format != 0) log_set_format((enum log_format)(settings->log_format - 1));
    log_set_level((enum log_level)settings->broker.log_level);
}

static int run(const struct arguments *arguments, struct serve_settings *settings, const struct seed *seeds, size_t seed_count)
{
    bool is_for_people = log_get_format() == LOG_FORMAT_TEXT && terminal_is(STDERR_FILENO);
    struct serve serve = {.is_friendly = is_for_people && !arguments_has(arguments, "quiet")};
    struct broker_options options;
    unsigned long errors_before = log_error_lines();
    int err = settings->data == NULL ? serve_settings_default_data(&settings->data) : 0;

    if (err != 0)
        return (int)failure_usage("serve",
                                  "there is no home directory to keep data in; name one with --data DIR");
    serve.settings = settings;
    serve.data_dir = settings->data;
    serve.is_first_start = access(settings->data, F_OK) != 0;
    broker_options_init(&options);
    options.data_dir = settings->data;
    options.listen = settings->listen;
    options.gateway_listen = settings->gateway_listen;
    options.gateway_advertise = settings->gateway_advertise;
    options.name = settings->name;
    options.zone = settings->zone;
    options.advertise = settings->advertise;
    options.expect = settings->expect;
    options.is_witness = settings->is_witness;
    options.founded_marker = settings->founded_marker;
    options.seeds = seeds;
    options.seed_count = seed_count;
    options.waiting = tell_waiting;
    key_places_gather(&options.key_places, settings->key_file, settings->data);
    options.shard_count = settings->shard_count;
    options.settings = settings->broker;
    options.opened = warn_of_open_ports;
    options.ready = greet;
    options.ready_user = &serve;
    err = broker_run(&options);
    if (err == 0) return EXIT_DONE;
    return explain(err, seed_count > 0 ? "join" : "serve", settings, log_error_lines() > errors_before && err != MESH_ENOMEM);
}

/* The settings gathered, or a failure reported; then the broker. */
static int gather_and_run(const struct arguments *arguments, const char *command, const struct seed *seeds, size_t seed_count)
{
    struct buffer fault = BUFFER_INIT;
    struct serve_settings settings;
    int err = serve_settings_gather(&settings, arguments, environ, &fault), code;

    if (err == MESH_ENOMEM)
        code = (int)failure_report(false, err, NULL, "%s", command);
    else if (err == MESH_EIO)
        code = (int)failure_report(false, err, (const char *)fault.data, "%s", command);
    else if (err != 0)
        code = (int)failure_usage(command, (const char *)fault.data);
    else {
        begin_log(&settings);
        code = run(arguments, &settings, seeds, seed_count);
    }
    serve_settings_deinit(&settings);
    buffer_deinit(&fault);
    return code;
}

int command_serve(const struct arguments *arguments)
{
    return gather_and_run(arguments, "serve", NULL, 0);
}

int command_join(const struct arguments *arguments)
{
    static struct seed seeds[SEEDS_MAX]; /* too many for a stack; the broker keeps them for its life */
    char fault[ADDRESS_TEXT_SIZE + 128];
    size_t count = arguments->operand_count;

    for (size_t i = 0; i < count && i < SEEDS_MAX; i++) {
        const char *text = arguments->operands[i];

        if (seed_parse(text, &seeds[i]) == 0) continue;
        snprintf(fault, sizeof(fault), "'%.200s' is no seed: write HOST, HOST:PORT, [IPV6]:PORT or _service._tcp.NAME", text);
        return (int)failure_usage("join", fault);
    }
    return gather_and_run(arguments, "join", seeds, count < SEEDS_MAX ? count : SEEDS_MAX);
}
