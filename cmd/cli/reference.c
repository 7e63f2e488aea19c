#include "cmd/cli/reference.h"

#include "base/assert.h"
#include "cmd/broker/settings.h"
#include "cmd/cli/command.h"

#include <stdio.h>
#include <string.h>

static const char head_text[] =
    "# Configuration reference\n\n"
    "Made by the program out of its own tables; a test compares. After a change: `cp BUILD/cmd/cli/configuration.md deploy/guide/`.\n\n"
    "A broker (`mesh serve`, `mesh join`; `mesh doctor` looks before a start) takes each setting from four places under the same name. Where several name it, the last one of these "
    "holds:\n\n"
    "1. the file of `--config FILE`: lines `KEY = VALUE`; `#` begins a remark;\n"
    "2. the environment: `MESH_` and the key in capitals, with `_` for `.` and `-`: `MESH_CONNECTIONS_MAX`, `MESH_LOG_FORMAT`. An empty variable sets nothing;\n"
    "3. `--set KEY=VALUE`;\n"
    "4. the option of that name, for the settings of the first table: `--listen HOST:PORT`, and `--log-level`.\n\n"
    "A key that there is not, and a value out of range, ends the start with exit code 2 and a line that names the place and the key that was probably meant; nothing has been "
    "written then. Of the environment only what is a slip or two away from a setting's name is refused (`MESH_LISTN`); other variables that begin with `MESH_` are left alone, and so is "
    "whatever orchestrators put there for a service of that name (`MESH_SERVICE_HOST`, `MESH_PORT_9092_TCP`).\n\n"
    "Settings that are live (second table) may be changed while brokers run: `mesh config set KEY=VALUE`. Each broker keeps that in the file `settings` of its data directory, and uses it "
    "at its next starts where none of the four places names the setting. `mesh config list` says what each stands at and why; `mesh config unset KEY` takes a change back.\n\n"
    "All others are read when a broker starts; a change needs a restart of that broker, one after the other (`mesh drain` first). The files of TLS and of the cluster key are read again when they "
    "change. Topics' configuration is changed at any time with `mesh topic alter`.\n\n"
    "Bytes: a number, or one with k, m, g, t or KiB, MiB, GiB, TiB (powers of 1024). ms: milliseconds, or a number with ms, s, m, h, d: `moves.replace.ms = 10m`. Topics' configuration "
    "takes the same: `retention.ms=7d`, `segment.bytes=1GiB`.\n";

/* A bar would end the cell. */
static int append_cell(struct buffer *to, const char *text)
{
    int err = buffer_append_string(to, " ");

    for (; err == 0 && *text != '\0'; text++) {
        if (*text == '|') err = buffer_append_string(to, "\\");
        if (err == 0) err = buffer_append(to, text, 1);
    }
    return err == 0 ? buffer_append_string(to, " |") : err;
}

static bool is_setting(const struct option_spec *option)
{
    static const char *const others[] = {"config", "set", "quiet", "help"};

    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        if (strcmp(option->name, others[i]) == 0) return false;
    return settings_index(option->name) == SETTINGS_MAX; /* the others stand in the second table */
}

static int append_options(struct buffer *to)
{
    const struct command_spec *join = command_find("join"); /* it has all that serve has */
    const struct option_spec *option;
    int err = buffer_append_string(to, "\n## Options that are settings, too\n\n`expect` and `witness` are options of `mesh join` alone; `witness` is `true` or `false` elsewhere.\n\n"
                                       "| key | value | default | meaning |\n|---|---|---|---|\n");

    MESH_ASSERT(join != NULL);
    for (size_t i = 0; err == 0 && (option = command_option_at(join, i)) != NULL; i++) {
        if (!is_setting(option)) continue;
        err = buffer_printf(to, "| `%s` |", option->name);
        if (err == 0) err = append_cell(to, option->choices != NULL ? option->choices : option->value_name != NULL ? option->value_name : "true or false");
        if (err == 0) err = append_cell(to, option->fallback != NULL ? option->fallback : "none");
        if (err == 0) err = append_cell(to, option->help);
        if (err == 0) err = buffer_append_string(to, "\n");
    }
    return err;
}

static int append_settings(struct buffer *to)
{
    char range[SETTINGS_TEXT_MAX], fallback[SETTINGS_TEXT_MAX];
    const struct setting_info *info;
    int err = buffer_append_string(to, "\n## Settings of a broker\n\n| key | unit | range | default | changes | brokers | meaning |\n|---|---|---|---|---|---|---|\n");

    for (size_t i = 0; err == 0 && (info = settings_info(i)) != NULL; i++) {
        err = buffer_printf(to, "| `%s` | %s |", info->key, info->unit);
        if (err == 0 && strcmp(info->unit, "file") == 0) err = buffer_append_string(to, " a path | none |");
        else if (err == 0) err = buffer_printf(to, " %s | %s |", settings_format_range(i, range), settings_format_number(i, info->fallback, fallback));
        if (err == 0) err = buffer_printf(to, " %s | %s |", (info->flags & SETTING_LIVE) != 0 ? "live" : "at a start", (info->flags & SETTING_ALIKE) != 0 ? "all alike" : "each");
        if (err == 0) err = append_cell(to, info->help);
        if (err == 0) err = buffer_append_string(to, "\n");
    }
    return err;
}

static int append_topics(struct buffer *to)
{
    struct setting_topic_info info;
    int err = buffer_append_string(
        to, "\n## Configuration of topics\n\nGiven when a topic is made or altered (`mesh topic create NAME --set KEY=VALUE`). `topic.KEY` in a broker's settings is what new topics get that say "
            "nothing: `topic.retention.ms = 1d`, `MESH_TOPIC_MODE=quorum`; the same on every broker.\n\n| key | Kafka's name | unit | values | default | meaning |\n|---|---|---|---|---|---|\n");

    for (size_t i = 0; err == 0 && settings_topic_info(i, &info); i++) {
        err = buffer_printf(to, "| `%s` | %s | %s |", info.name, info.kafka_name[0] != '\0' ? info.kafka_name : "the same", info.unit);
        if (err == 0) err = append_cell(to, info.values);
        if (err == 0) err = append_cell(to, info.fallback);
        if (err == 0) err = append_cell(to, info.help);
        if (err == 0) err = buffer_append_string(to, "\n");
    }
    return err;
}

int reference_write(struct buffer *to)
{
    int err = buffer_append_string(to, head_text);

    if (err == 0) err = append_options(to);
    if (err == 0) err = append_settings(to);
    return err == 0 ? append_topics(to) : err;
}
