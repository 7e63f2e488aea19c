#include "cmd/cli/serve_settings.h"

#include "base/edit_distance.h"
#include "base/error.h"
#include "base/log.h"
#include "cmd/cli/listen_option.h"
#include "cmd/cli/suggest.h"
#include "cmd/cli/value.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_SIZE_MAX (1u << 20)
#define LINE_SIZE_MAX 4096
#define KEYS_MAX      256
#define SHARDS_MAX    256
#define EXPECT_MAX    1000

#define VARIABLE_PREFIX "MESH_"
#define VARIABLE_SIZE   160

/* The options are settings too: in files and in the environment under the same names. */
enum option_key_kind { KEY_TEXT, KEY_LISTEN, KEY_NUMBER, KEY_FLAG, KEY_WORD };

static const struct option_key {
    const char *key;
    enum option_key_kind kind;
    size_t offset; /* in struct serve_settings: char *, uint32_t, bool; of a word the uint32_t is its place, from 1 */
    int64_t max;   /* of a number, from 1 */
    const char *const *words;
} option_keys[] = {
    {"data", KEY_TEXT, offsetof(struct serve_settings, data), 0, NULL},
    {"listen", KEY_LISTEN, offsetof(struct serve_settings, listen), 0, NULL},
    {"gateway-advertise", KEY_TEXT, offsetof(struct serve_settings, gateway_advertise), 0, NULL},
    {"name", KEY_TEXT, offsetof(struct serve_settings, name), 0, NULL},
    {"zone", KEY_TEXT, offsetof(struct serve_settings, zone), 0, NULL},
    {"key-file", KEY_TEXT, offsetof(struct serve_settings, key_file), 0, NULL},
    {"advertise", KEY_TEXT, offsetof(struct serve_settings, advertise), 0, NULL},
    {"founded-marker", KEY_TEXT, offsetof(struct serve_settings, founded_marker), 0, NULL},
    {"shards", KEY_NUMBER, offsetof(struct serve_settings, shard_count), SHARDS_MAX, NULL},
    {"expect", KEY_NUMBER, offsetof(struct serve_settings, expect), EXPECT_MAX, NULL},
    {"log-format", KEY_WORD, offsetof(struct serve_settings, log_format), 0, log_format_names},
    {"witness", KEY_FLAG, offsetof(struct serve_settings, is_witness), 0, NULL},
};
#define OPTION_KEY_COUNT (sizeof(option_keys) / sizeof(option_keys[0]))

static void *field_of(struct serve_settings *settings, const struct option_key *option)
{
    return (char *)settings + option->offset;
}

void serve_settings_deinit(struct serve_settings *settings)
{
    for (size_t i = 0; i < OPTION_KEY_COUNT; i++) {
        char **text = field_of(settings, &option_keys[i]);

        if (option_keys[i].kind != KEY_TEXT && option_keys[i].kind != KEY_LISTEN) continue;
        free(*text);
        *text = NULL;
    }
    free(settings->gateway_listen);
    settings->gateway_listen = NULL;
}

/* Everything that may be set, topics' defaults among them. */
struct key_list {
    const char *keys[KEYS_MAX];
    size_t count;
    char topic_keys[SETTINGS_TOPIC_DEFAULTS_MAX][SETTINGS_TEXT_MAX];
};

static void collect_keys(struct key_list *list)
{
    const struct setting_info *info;
    struct setting_topic_info topic;

    list->count = 0;
    for (size_t i = 0; i < OPTION_KEY_COUNT; i++)
        list->keys[list->count++] = option_keys[i].key;
    for (size_t i = 0; list->count < KEYS_MAX && (info = settings_info(i)) != NULL; i++)
        list->keys[list->count++] = info->key;
    for (size_t i = 0; list->count < KEYS_MAX && i < SETTINGS_TOPIC_DEFAULTS_MAX && settings_topic_info(i, &topic); i++) {
        snprintf(list->topic_keys[i], sizeof(list->topic_keys[i]), "topic.%s", topic.name);
        list->keys[list->count++] = list->topic_keys[i];
    }
}

static bool is_known(const char *key, const struct key_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->keys[i], key) == 0) return true;
    return strncmp(key, "topic.", 6) == 0; /* judged with the topics' configuration keys, which have other names, too */
}

static int fault_unknown(const char *key, const struct key_list *list, const char *where, struct buffer *fault)
{
    const char *nearest = suggestion_nearest(key, list->keys, list->count);

    buffer_printf(fault, "%s: there is no setting '%.100s'", where, key);
    if (nearest != NULL)
        buffer_printf(fault, "; did you mean %s?", nearest);
    else
        buffer_printf(fault, "; 'mesh help settings' lists them");
    return MESH_EINVAL;
}

static int replace_text(char **text, const char *value)
{
    char *copy = strdup(value);

    if (copy == NULL) return MESH_ENOMEM;
    free(*text);
    *text = copy;
    return 0;
}

static int set_number(uint32_t *number, const struct option_key *option, const char *value, const char *where,
                      struct buffer *fault)
{
    int64_t parsed;

    if (value_parse_integer(value, 1, option->max, &parsed) != 0) {
        buffer_printf(fault, "%s: %s: '%.100s' is not a whole number between 1 and %lld", where, option->key, value,
                      (long long)option->max);
        return MESH_EINVAL;
    }
    *number = (uint32_t)parsed;
    return 0;
}

static int set_flag(bool *flag, const struct option_key *option, const char *value, const char *where, struct buffer *fault)
{
    if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0) {
        buffer_printf(fault, "%s: %s is either true or false, not '%.100s'", where, option->key, value);
        return MESH_EINVAL;
    }
    *flag = value[0] == 't';
    return 0;
}

static int set_word(uint32_t *place, const struct option_key *option, const char *value, const char *where, struct buffer *fault)
{
    for (uint32_t i = 0; option->words[i] != NULL; i++) {
        if (strcmp(option->words[i], value) != 0) continue;
        *place = i + 1;
        return 0;
    }
    buffer_printf(fault, "%s: %s is one of", where, option->key);
    for (size_t i = 0; option->words[i] != NULL; i++)
        buffer_printf(fault, "%s %s", i == 0 ? "" : ",", option->words[i]);
    buffer_printf(fault, ", not '%.100s'", value);
    return MESH_EINVAL;
}

static int set_option_key(struct serve_settings *settings, const struct option_key *option, const char *value,
                          const char *where, struct buffer *fault)
{
    void *field = field_of(settings, option);

    if (value[0] == '\0') {
        buffer_printf(fault, "%s: %s is empty", where, option->key);
        return MESH_EINVAL;
    }
    switch (option->kind) {
    case KEY_TEXT: return replace_text(field, value);
    case KEY_LISTEN: return listen_option_set(&settings->listen, &settings->gateway_listen, value, where, fault);
    case KEY_NUMBER: return set_number(field, option, value, where, fault);
    case KEY_WORD: return set_word(field, option, value, where, fault);
    case KEY_FLAG: break;
    }
    return set_flag(field, option, value, where, fault);
}

int serve_settings_set(struct serve_settings *settings, const char *key, const char *value, const char *where,
                       struct buffer *fault)
{
    char reason[512] = "";
    struct key_list list;
    int err;

    for (size_t i = 0; i < OPTION_KEY_COUNT; i++)
        if (strcmp(option_keys[i].key, key) == 0) return set_option_key(settings, &option_keys[i], value, where, fault);
    collect_keys(&list);
    if (!is_known(key, &list)) return fault_unknown(key, &list, where, fault);
    err = settings_set_from(&settings->broker, settings->source, key, value, reason, sizeof(reason));
    if (err != 0) buffer_printf(fault, "%s: %s", where, reason[0] != '\0' ? reason : mesh_strerror(err));
    return err;
}

/* Cuts blanks off both ends, in place. */
static char *trim(char *text)
{
    size_t size;

    while (isspace((unsigned char)*text))
        text++;
    size = strlen(text);
    while (size > 0 && isspace((unsigned char)text[size - 1]))
        text[--size] = '\0';
    return text;
}

static int parse_line(struct serve_settings *settings, char *line, const char *where, struct buffer *fault)
{
    char *text = trim(line), *equals;

    if (text[0] == '\0' || text[0] == '#') return 0;
    equals = strchr(text, '=');
    if (equals == NULL || equals == text) {
        buffer_printf(fault, "%s: '%.100s' is not of the form KEY = VALUE", where, text);
        return MESH_EINVAL;
    }
    *equals = '\0';
    return serve_settings_set(settings, trim(text), trim(equals + 1), where, fault);
}

int serve_settings_parse_file(struct serve_settings *settings, const char *text, size_t size,
                              const char *path, struct buffer *fault)
{
    char line[LINE_SIZE_MAX], where[LINE_SIZE_MAX + 32];
    unsigned number = 1;
    int err = 0;

    for (; err == 0 && size > 0; number++) {
        const char *newline = memchr(text, '\n', size);
        size_t line_size = newline != NULL ? (size_t)(newline - text) : size;
        snprintf(where, sizeof(where), "%.4000s:%u", path, number);
        if (line_size >= sizeof(line) || memchr(text, '\0', line_size) != NULL) {
            buffer_printf(fault, "%s: the line is too long or no text", where);
            return MESH_EINVAL;
        }
        memcpy(line, text, line_size);
        line[line_size] = '\0';
        err = parse_line(settings, line, where, fault);
        text += line_size + (newline != NULL);
        size -= line_size + (newline != NULL);
    }
    return err;
}

static int read_file(struct serve_settings *settings, const char *path, struct buffer *fault)
{
    struct buffer text = BUFFER_INIT;
    int fd = open(path, O_RDONLY | O_CLOEXEC), err = 0;
    ssize_t size = 1;

    while (fd >= 0 && err == 0 && size > 0 && text.size <= FILE_SIZE_MAX) {
        err = buffer_reserve(&text, 65536);
        size = err == 0 ? read(fd, text.data + text.size, 65536) : 0;
        if (size > 0) text.size += (size_t)size;
    }
    if (fd < 0 || size < 0) {
        buffer_printf(fault, "--config: %s: %s", path, strerror(errno));
        err = MESH_EIO;
    } else if (err == 0 && text.size > FILE_SIZE_MAX) {
        buffer_printf(fault, "--config: %s is larger than 1 MiB", path);
        err = MESH_EINVAL;
    }
    if (fd >= 0) (void)close(fd); /* nothing was written */
    if (err == 0) err = serve_settings_parse_file(settings, (const char *)text.data, text.size, path, fault);
    buffer_deinit(&text);
    return err;
}

/* "MESH_TOPIC_PARTITIONS" for "topic.partitions". */
static void variable_name(const char *key, char *to, size_t size)
{
    size_t used = (size_t)snprintf(to, size, VARIABLE_PREFIX);

    for (; *key != '\0' && used + 1 < size; key++)
        to[used++] = *key == '.' || *key == '-' ? '_' : (char)toupper((unsigned char)*key);
    to[used] = '\0';
}

static const char *find_variable(char *const *environment, const char *name)
{
    size_t size = strlen(name);

    for (; *environment != NULL; environment++)
        if (strncmp(*environment, name, size) == 0 && (*environment)[size] == '=')
            return *environment + size + 1;
    return NULL;
}

/* What orchestrators put there for a service of the name mesh or mesh-...: MESH_SERVICE_HOST, MESH_PORT_9092_TCP_ADDR. */
static bool is_injected(const char *name)
{
    size_t size = strlen(name);

    return strstr(name, "_SERVICE_") != NULL || strstr(name, "_PORT_") != NULL || (size >= 5 && strcmp(name + size - 5, "_PORT") == 0);
}

/* The setting that a variable nearly names, or NULL: a slip or two of the finger, one in a short name. */
static const char *nearest_variable(const char *name, const struct key_list *list, char nearest[VARIABLE_SIZE])
{
    size_t size = strlen(name) - strlen(VARIABLE_PREFIX), best = size >= 8 ? 2 : 1;
    const char *found = NULL;

    for (size_t i = 0; i < list->count; i++) {
        char candidate[VARIABLE_SIZE];
        size_t distance;

        variable_name(list->keys[i], candidate, sizeof(candidate));
        distance = edit_distance(name, candidate, true);
        if (distance == 0 && strcmp(name, candidate) == 0) return NULL; /* it is one */
        if (distance > best || (found != NULL && distance == best)) continue;
        best = distance;
        memcpy(nearest, candidate, sizeof(candidate));
        found = nearest;
    }
    return found;
}

/* Variables that name no setting are left alone, as others put their own there; but not those that were meant to name one. */
static int refuse_misspelt(const struct key_list *list, char *const *environment, struct buffer *fault)
{
    for (; *environment != NULL; environment++) {
        char name[VARIABLE_SIZE], nearest[VARIABLE_SIZE];
        const char *equals = strchr(*environment, '=');

        if (strncmp(*environment, VARIABLE_PREFIX, strlen(VARIABLE_PREFIX)) != 0 || equals == NULL || equals[1] == '\0') continue;
        if ((size_t)(equals - *environment) >= sizeof(name)) continue;
        snprintf(name, sizeof(name), "%.*s", (int)(equals - *environment), *environment);
        if (strcmp(name, "MESH_BROKER") == 0 || is_injected(name) || nearest_variable(name, list, nearest) == NULL) continue;
        buffer_printf(fault, "%s: the environment names no setting so; did you mean %s?", name, nearest);
        return MESH_EINVAL;
    }
    return 0;
}

static int read_environment(struct serve_settings *settings, char *const *environment, struct buffer *fault)
{
    struct key_list list;
    int err;

    collect_keys(&list);
    err = refuse_misspelt(&list, environment, fault);
    for (size_t i = 0; err == 0 && i < list.count; i++) {
        char name[VARIABLE_SIZE];
        const char *value;
        variable_name(list.keys[i], name, sizeof(name));
        value = find_variable(environment, name);
        if (value != NULL && value[0] != '\0')
            err = serve_settings_set(settings, list.keys[i], value, name, fault);
    }
    return err;
}

static int read_pairs(struct serve_settings *settings, const struct arguments *arguments,
                      struct buffer *fault)
{
    const char *pair;
    size_t cursor = 0;
    int err = 0;

    while (err == 0 && (pair = arguments_next(arguments, "set", &cursor)) != NULL) {
        const char *equals = strchr(pair, '=');
        char key[256];
        snprintf(key, sizeof(key), "%.*s", (int)(equals - pair), pair);
        err = serve_settings_set(settings, key, equals + 1, "--set", fault);
    }
    return err;
}

/* An option may be given more than once; the last one holds, and of --listen the last one for each port. */
static int set_from_option(struct serve_settings *settings, const char *key, const struct arguments *arguments, struct buffer *fault)
{
    const char *value;
    size_t cursor = 0;
    int err = 0;

    while (err == 0 && (value = arguments_next(arguments, key, &cursor)) != NULL)
        err = serve_settings_set(settings, key, value, key, fault);
    return err;
}

static int read_options(struct serve_settings *settings, const struct arguments *arguments, struct buffer *fault)
{
    const struct setting_info *info;
    int err = 0;

    for (size_t i = 0; err == 0 && i < OPTION_KEY_COUNT; i++) {
        const char *key = option_keys[i].key;

        if (command_find_option(arguments->command, key) == NULL) continue; /* it is join's alone */
        if (option_keys[i].kind != KEY_FLAG) err = set_from_option(settings, key, arguments, fault);
        else if (arguments_has(arguments, key)) err = serve_settings_set(settings, key, "true", key, fault);
    }
    /* A setting of the broker that has an option of its own. */
    for (size_t i = 0; err == 0 && (info = settings_info(i)) != NULL; i++)
        if (command_find_option(arguments->command, info->key) != NULL) err = set_from_option(settings, info->key, arguments, fault);
    return err;
}

int serve_settings_gather(struct serve_settings *settings, const struct arguments *arguments,
                          char *const *environment, struct buffer *fault)
{
    const char *path = arguments_text(arguments, "config", NULL);
    int err = 0;

    memset(settings, 0, sizeof(*settings));
    settings_init(&settings->broker);
    settings->source = SETTING_FILE;
    if (path != NULL) err = read_file(settings, path, fault);
    settings->source = SETTING_ENVIRONMENT;
    if (err == 0) err = read_environment(settings, environment, fault);
    settings->source = SETTING_OPTION;
    if (err == 0 && command_find_option(arguments->command, "quiet") != NULL && arguments_has(arguments, "quiet"))
        err = serve_settings_set(settings, "log-level", "warn", "--quiet", fault);
    if (err == 0) err = read_pairs(settings, arguments, fault);
    return err == 0 ? read_options(settings, arguments, fault) : err;
}

int serve_settings_default_data(char **ret_path)
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
