#include "cmd/broker/operate/kept_settings.h"

#include "base/error.h"
#include "base/fs_whole.h"

#include <stdio.h>
#include <string.h>

#define HEAD      "mesh settings "
#define VERSION   "1\n"
#define BYTES_MAX (64u << 10)
#define LINE_SIZE 256
#define TEMPORARY KEPT_SETTINGS_PATH ".new"

static int take_head(struct slice *text)
{
    size_t head = strlen(HEAD), version = strlen(VERSION);

    if (text->size < head || memcmp(text->data, HEAD, head) != 0) return MESH_ECORRUPT;
    if (text->size < head + version || memcmp(text->data + head, VERSION, version) != 0) return MESH_EVERSION;
    *text = slice_of(text->data + head + version, text->size - head - version);
    return 0;
}

/* The next line, without its end, cut to LINE_SIZE - 1; false when there is none. */
static bool take_line(struct slice *text, char line[LINE_SIZE])
{
    const uint8_t *end = text->size == 0 ? NULL : memchr(text->data, '\n', text->size);
    size_t size = end == NULL ? text->size : (size_t)(end - text->data), kept = size < LINE_SIZE ? size : LINE_SIZE - 1;

    if (text->size == 0) return false;
    for (size_t i = 0; i < kept; i++)
        line[i] = (char)(text->data[i] < 0x20 || text->data[i] == 0x7f ? '?' : text->data[i]);
    line[kept] = '\0';
    size += end != NULL;
    *text = slice_of(text->data + size, text->size - size);
    return true;
}

/* Returns why it cannot be used, or NULL. */
static const char *take_setting(const char *line, struct kept_settings *kept, char reason[LINE_SIZE])
{
    const char *middle = strstr(line, " = ");
    char key[LINE_SIZE];
    size_t index;

    if (middle == NULL) return "it is not KEY = VALUE";
    memcpy(key, line, (size_t)(middle - line));
    key[middle - line] = '\0';
    index = settings_index(key);
    if (index == SETTINGS_MAX) return "this version has no such setting";
    if ((settings_info(index)->flags & SETTING_LIVE) == 0) return "this version reads it at a start alone";
    if (settings_parse(index, middle + 3, &kept->numbers[index], reason, LINE_SIZE) != 0) return reason;
    kept->is_kept[index] = true;
    return NULL;
}

int kept_settings_parse(struct slice text, struct kept_settings *ret_kept, kept_settings_bad_fn *bad, void *user)
{
    char line[LINE_SIZE], room[LINE_SIZE];
    int err = take_head(&text);

    *ret_kept = (struct kept_settings){0};
    while (err == 0 && take_line(&text, line)) {
        const char *reason = line[0] == '\0' ? NULL : take_setting(line, ret_kept, room);

        if (reason != NULL) bad(user, line, reason);
    }
    return err;
}

int kept_settings_read(struct fs *fs, struct kept_settings *ret_kept, kept_settings_bad_fn *bad, void *user)
{
    struct buffer bytes = BUFFER_INIT;
    int err = fs_read_whole(fs, KEPT_SETTINGS_PATH, BYTES_MAX, &bytes);

    *ret_kept = (struct kept_settings){0};
    if (err == 0) err = kept_settings_parse(buffer_slice(&bytes), ret_kept, bad, user);
    buffer_deinit(&bytes);
    return err == MESH_ENOTFOUND ? 0 : err;
}

int kept_settings_write(struct fs *fs, const struct kept_settings *kept)
{
    struct buffer text = BUFFER_INIT;
    int err = buffer_append_string(&text, HEAD VERSION);

    for (size_t i = 0; i < SETTINGS_MAX && err == 0; i++) {
        char number[SETTINGS_TEXT_MAX];

        if (kept->is_kept[i]) err = buffer_printf(&text, "%s = %s\n", settings_info(i)->key, settings_format_number(i, kept->numbers[i], number));
    }
    if (err == 0) err = fs_replace(fs, ".", KEPT_SETTINGS_PATH, TEMPORARY, buffer_slice(&text));
    buffer_deinit(&text);
    return err;
}
