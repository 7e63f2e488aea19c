#include "cmd/cli/serve_settings.h"

#include "base/error.h"
#include "cmd/cli/suggest.h"
#include "cmd/cli/value.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_SIZE_MAX (1u << 20)
#define LINE_SIZE_MAX 4096
#define KEYS_MAX      256
#define SHARDS_MAX    256

static const char *const option_keys[] = {"data", "listen", "name", "zone", "key-file", "advertise", "shards"};
#define OPTION_KEY_COUNT (sizeof(option_keys) / sizeof(option_keys[0]))

void serve_settings_deinit(struct serve_settings *settings)
{
    free(settings->data);
    free(settings->listen);
    free(settings->name);
    free(settings->zone);
    free(settings->key_file);
    free(settings->advertise);
    settings->data = settings->listen = settings->name = settings->zone = NULL;
    settings->key_file = settings->advertise = NULL;
}

static size_t collect_keys(const char *keys[KEYS_MAX])
{
    const struct setting_info *info;
    size_t count = 0;

    for (size_t i = 0; i < OPTION_KEY_COUNT; i++)
        keys[count++] = option_keys[i];
    for (size_t i = 0; count < KEYS_MAX && (info = settings_info(i)) != NULL; i++)
        keys[count++] = info->key;
    return count;
}

static bool is_known(const char *key)
{
    const char *keys[KEYS_MAX];
    size_t count = collect_keys(keys);

    for (size_t i = 0; i < count; i++)
        if (strcmp(keys[i], key) == 0) return true;
    return strncmp(key, "topic.", 6) == 0; /* judged with the topics' configuration keys */
}

static int fault_unknown(const char *key, const char *where, struct buffer *fault)
{
    const char *keys[KEYS_MAX];
    const char *nearest = suggestion_nearest(key, keys, collect_keys(keys));

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

/* One of the options, which are settings too. */
static int set_option_key(struct serve_settings *settings, const char *key, const char *value,
                          const char *where, struct buffer *fault)
{
    int64_t number;

    if (value[0] == '\0') {
        buffer_printf(fault, "%s: %s is empty", where, key);
        return MESH_EINVAL;
    }
    if (strcmp(key, "data") == 0) return replace_text(&settings->data, value);
    if (strcmp(key, "listen") == 0) return replace_text(&settings->listen, value);
    if (strcmp(key, "name") == 0) return replace_text(&settings->name, value);
    if (strcmp(key, "zone") == 0) return replace_text(&settings->zone, value);
    if (strcmp(key, "key-file") == 0) return replace_text(&settings->key_file, value);
    if (strcmp(key, "advertise") == 0) return replace_text(&settings->advertise, value);
    if (value_parse_integer(value, 1, SHARDS_MAX, &number) != 0) {
        buffer_printf(fault, "%s: shards: '%.100s' is not a whole number between 1 and %d", where, value,
                      SHARDS_MAX);
        return MESH_EINVAL;
    }
    settings->shard_count = (uint32_t)number;
    return 0;
}

int serve_settings_set(struct serve_settings *settings, const char *key, const char *value, const char *where,
                       struct buffer *fault)
{
    char reason[512] = "";
    int err;

    for (size_t i = 0; i < OPTION_KEY_COUNT; i++)
        if (strcmp(option_keys[i], key) == 0) return set_option_key(settings, key, value, where, fault);
    if (!is_known(key)) return fault_unknown(key, where, fault);
    err = settings_set(&settings->broker, key, value, reason, sizeof(reason));
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
    size_t used = (size_t)snprintf(to, size, "MESH_");

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

/* Variables that name no setting are left alone: orchestrators put their own MESH_... there for a service of
 * that name. */
static int read_environment(struct serve_settings *settings, char *const *environment, struct buffer *fault)
{
    const char *keys[KEYS_MAX];
    size_t count = collect_keys(keys);
    int err = 0;

    for (size_t i = 0; err == 0 && i < count; i++) {
        char name[160];
        const char *value;
        variable_name(keys[i], name, sizeof(name));
        value = find_variable(environment, name);
        if (value != NULL && value[0] != '\0')
            err = serve_settings_set(settings, keys[i], value, name, fault);
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

int serve_settings_gather(struct serve_settings *settings, const struct arguments *arguments,
                          char *const *environment, struct buffer *fault)
{
    const char *path = arguments_text(arguments, "config", NULL);
    int err = 0;

    memset(settings, 0, sizeof(*settings));
    settings_init(&settings->broker);
    if (path != NULL) err = read_file(settings, path, fault);
    if (err == 0) err = read_environment(settings, environment, fault);
    if (err == 0) err = read_pairs(settings, arguments, fault);
    for (size_t i = 0; err == 0 && i < OPTION_KEY_COUNT; i++) {
        const char *value = arguments_text(arguments, option_keys[i], NULL);
        if (value != NULL) err = serve_settings_set(settings, option_keys[i], value, option_keys[i], fault);
    }
    return err;
}
