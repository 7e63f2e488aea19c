/* crypto/keyring_text.c - the ring as lines of text, its durable form; see keyring.h. */
#include "crypto/keyring_internal.h"

#include "base/assert.h"
#include "base/error.h"

#include <sodium.h>
#include <stdio.h>

static const char *const state_words[] = {
    [KEY_INSTALLED] = "installed", [KEY_IN_USE] = "in-use", [KEY_RETIRING] = "retiring"};

size_t keyring_format(const struct keyring *keyring, char *to)
{
    size_t size = (size_t)snprintf(to, KEYRING_TEXT_MAX, "# Cluster keys of a mesh: who has one can join it. Keep secret.\n");

    for (int i = 0; i < keyring->count; i++) {
        char text[CLUSTER_KEY_TEXT_SIZE];
        size += (size_t)snprintf(to + size, KEYRING_TEXT_MAX - size, "%s %s\n",
                                 cluster_key_format(&keyring->slots[i].key, text), state_words[keyring->slots[i].state]);
        sodium_memzero(text, sizeof text);
    }
    MESH_ASSERT(size < KEYRING_TEXT_MAX);
    return size;
}

struct text_reader {
    struct keyring *keyring; /* what was read so far */
    bool lacks_word;         /* of a key's state */
    char *message;
    size_t message_size;
};

/* Cuts the next run without white space off the front of *line; empty at its end. */
static struct slice take_word(struct slice *line)
{
    size_t begin = 0, end;

    while (begin < line->size && (line->data[begin] == ' ' || line->data[begin] == '\t' || line->data[begin] == '\r'))
        begin++;
    end = begin;
    while (end < line->size && line->data[end] != ' ' && line->data[end] != '\t' && line->data[end] != '\r')
        end++;
    *line = slice_of(line->data + end, line->size - end);
    return slice_of(line->data - (end - begin), end - begin);
}

static int parse_state(struct slice word, enum key_state *ret_state)
{
    for (int i = KEY_INSTALLED; i <= KEY_RETIRING; i++) {
        if (!slice_equal(word, slice_of_string(state_words[i]))) continue;
        *ret_state = (enum key_state)i;
        return 0;
    }
    return MESH_EINVAL;
}

static int refuse(struct text_reader *reader, int err, const char *text)
{
    snprintf(reader->message, reader->message_size, "%s", text);
    return err;
}

static int read_line(struct text_reader *reader, struct slice line)
{
    const uint8_t *comment = line.size == 0 ? NULL : memchr(line.data, '#', line.size);
    struct keyring *keyring = reader->keyring;
    struct slice key_text, state_text;
    struct keyring_slot slot = {.state = KEY_IN_USE};
    int err;

    if (comment != NULL) line.size = (size_t)(comment - line.data);
    key_text = take_word(&line);
    state_text = take_word(&line);
    if (key_text.size == 0) return 0;
    if (take_word(&line).size != 0) return refuse(reader, MESH_EINVAL, "a key and its state stand alone on a line");
    if (state_text.size == 0)
        reader->lacks_word = true;
    else if (parse_state(state_text, &slot.state) != 0)
        return refuse(reader, MESH_EINVAL, "the state of a key is in-use, installed or retiring");
    if (slot.state == KEY_IN_USE && keyring_in_use(keyring) != NULL)
        return refuse(reader, MESH_EINVAL, "a second key that is in use (or whose state is not said)");
    if (keyring->count == KEYRING_KEYS_MAX) return refuse(reader, MESH_EINVAL, "more than 4 keys");
    err = cluster_key_parse(key_text, &slot.key, reader->message, reader->message_size);
    if (err == 0 && keyring_find(keyring, slot.key.id) != NULL) err = refuse(reader, MESH_EINVAL, "this key was there before");
    if (err == 0) keyring->slots[keyring->count++] = slot;
    cluster_key_wipe(&slot.key);
    return err;
}

static int read_lines(struct text_reader *reader, struct slice text)
{
    char reason[200];
    size_t number = 0;

    while (text.size != 0) {
        const uint8_t *newline = memchr(text.data, '\n', text.size);
        size_t length = newline == NULL ? text.size : (size_t)(newline - text.data);
        int err = read_line(reader, slice_of(text.data, length));

        number++;
        if (err != 0) {
            snprintf(reason, sizeof reason, "%s", reader->message);
            snprintf(reader->message, reader->message_size, "line %zu: %s", number, reason);
            return err;
        }
        length += newline != NULL;
        text = slice_of(text.data + length, text.size - length);
    }
    if (reader->keyring->count == 0) return refuse(reader, MESH_EINVAL, "there is no key in it");
    if (keyring_in_use(reader->keyring) == NULL) return refuse(reader, MESH_EINVAL, "no key in it is in use");
    if (reader->lacks_word && reader->keyring->count > 1)
        return refuse(reader, MESH_EINVAL, "with more than one key, each needs its state behind it");
    return 0;
}

int keyring_parse(struct keyring *keyring, struct slice text, char *message, size_t message_size)
{
    struct text_reader reader = {.message = message, .message_size = message_size};
    int err;

    if (text.size > KEYRING_TEXT_MAX) {
        snprintf(message, message_size, "%zu bytes are too many for a keyring", text.size);
        return MESH_ETOOLARGE;
    }
    reader.keyring = keyring_new();
    if (reader.keyring == NULL) {
        snprintf(message, message_size, "%s", mesh_strerror(MESH_ENOMEM));
        return MESH_ENOMEM;
    }
    err = read_lines(&reader, text);
    if (err == 0) {
        reader.keyring->generation = keyring->generation + 1;
        *keyring = *reader.keyring;
    }
    keyring_free(reader.keyring);
    return err;
}
