/* mesh serve: gathers the settings, opens the data directory and hands over to the broker. */
#include "base/error.h"
#include "base/log.h"
#include "cmd/broker/broker.h"
#include "cmd/cli/commands.h"
#include "cmd/cli/failure.h"
#include "cmd/cli/serve_settings.h"
#include "cmd/cli/terminal.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

struct serve {
    const char *data_dir;
    bool is_first_start;
    bool is_friendly; /* a person is watching */
};

/* $XDG_DATA_HOME/mesh, ~/.local/share/mesh, or /var/lib/mesh for root. Errors: MESH_EINVAL (no home),
 * MESH_ENOMEM. */
static int default_data_dir(char **ret_path)
{
    const char *xdg = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    char path[PATH_MAX];
    int size;

    if (xdg != NULL && xdg[0] == '/')
        size = snprintf(path, sizeof(path), "%s/mesh", xdg);
    else if (geteuid() == 0)
        size = snprintf(path, sizeof(path), "/var/lib/mesh");
    else if (home != NULL && home[0] == '/')
        size = snprintf(path, sizeof(path), "%s/.local/share/mesh", home);
    else
        return MESH_EINVAL;
    if (size < 0 || (size_t)size >= sizeof(path)) return MESH_EINVAL;
    *ret_path = strdup(path);
    return *ret_path != NULL ? 0 : MESH_ENOMEM;
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
}

static bool is_loopback(const char *listen)
{
    return listen == NULL || strncmp(listen, "127.", 4) == 0 || strncmp(listen, "localhost:", 10) == 0 ||
           strncmp(listen, "[::1]", 5) == 0;
}

/* Says how a start failed to people; the broker has logged what and where. */
static int explain(int err, const struct serve_settings *settings)
{
    const char *cause = mesh_strerror(err), *remedy = failure_remedy(err);

    if (err == MESH_EBUSY) {
        cause = "the address is in use";
        remedy = "Stop what uses it, or choose another one with --listen HOST:PORT; port 0 takes a free one.";
    }
    fprintf(stderr, "mesh: serve: the broker on '%s' ends: %s\n", settings->data, cause);
    if (remedy[0] != '\0') fprintf(stderr, "      %s\n", remedy);
    return err == MESH_EINVAL || err == MESH_EINVALID_CONFIG ? EXIT_USAGE : EXIT_FAILED;
}

static int run(const struct arguments *arguments, struct serve_settings *settings)
{
    struct serve serve = {.is_friendly = terminal_is(STDERR_FILENO) && !arguments_has(arguments, "quiet")};
    struct broker_options options;
    int err = settings->data == NULL ? default_data_dir(&settings->data) : 0;

    if (err != 0)
        return (int)failure_usage("serve",
                                  "there is no home directory to keep data in; name one with --data DIR");
    if (arguments_has(arguments, "quiet")) log_set_level(LOG_LEVEL_WARN);
    serve.data_dir = settings->data;
    serve.is_first_start = access(settings->data, F_OK) != 0;
    if (!is_loopback(settings->listen))
        log_warn("the port is open to other machines and asks nobody who they are: keep it behind a firewall "
                 "listen=%s",
                 settings->listen);
    broker_options_init(&options);
    options.data_dir = settings->data;
    options.listen = settings->listen;
    options.name = settings->name;
    options.zone = settings->zone;
    options.shard_count = settings->shard_count;
    options.settings = settings->broker;
    options.ready = greet;
    options.ready_user = &serve;
    err = broker_run(&options);
    return err == 0 ? EXIT_DONE : explain(err, settings);
}

int command_serve(const struct arguments *arguments)
{
    struct buffer fault = BUFFER_INIT;
    struct serve_settings settings;
    int err = serve_settings_gather(&settings, arguments, environ, &fault), code;

    if (err == MESH_ENOMEM)
        code = (int)failure_report(false, err, NULL, "serve");
    else if (err == MESH_EIO)
        code = (int)failure_report(false, err, (const char *)fault.data, "serve");
    else if (err != 0)
        code = (int)failure_usage("serve", (const char *)fault.data);
    else
        code = run(arguments, &settings);
    serve_settings_deinit(&settings);
    buffer_deinit(&fault);
    return code;
}
