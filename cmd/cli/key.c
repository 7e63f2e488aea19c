/* mesh key show | generate | list | rotate: the secret that makes a broker one of the mesh. */
#include "base/error.h"
#include "base/random.h"
#include "cmd/cli/commands.h"
#include "cmd/cli/interrupt.h"
#include "cmd/cli/json_writer.h"
#include "cmd/cli/key_places.h"
#include "cmd/cli/session.h"
#include "cmd/cli/standard_output.h"
#include "cmd/cli/table.h"
#include "crypto/crypto.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define POLL_MS 200

/* ---- the key of this machine ---- */

static int fail(bool is_json, int err, const char *message, const char *what)
{
    return (int)failure_report(is_json, err, message, "%s", what);
}

static int print_key(const struct cluster_key *key, const char *path, bool is_json)
{
    char secret[CLUSTER_KEY_TEXT_SIZE], id[CLUSTER_KEY_ID_STRING_SIZE];
    struct buffer text = BUFFER_INIT;
    struct json_writer json;
    int code;

    cluster_key_format(key, secret);
    if (is_json) {
        json_writer_init(&json, &text);
        json_writer_begin_object(&json);
        json_writer_key(&json, "key");
        json_writer_text(&json, secret);
        json_writer_key(&json, "key_id");
        json_writer_text(&json, cluster_key_id_format(key->id, id));
        json_writer_key(&json, "path");
        json_writer_text(&json, path);
        json_writer_end_object(&json);
        code = standard_output_finish(&text, json_writer_error(&json) != 0 ? MESH_ENOMEM : buffer_append(&text, "\n", 1));
    } else {
        if (terminal_is(STDERR_FILENO)) fprintf(stderr, "from %s; whoever has it can join, so keep it secret:\n", path);
        code = standard_output_finish(&text, buffer_printf(&text, "%s\n", secret));
    }
    crypto_wipe(secret, sizeof(secret));
    return code;
}

int command_key_show(const struct arguments *arguments)
{
    bool is_json = arguments_has(arguments, "json");
    char path[KEY_PATH_MAX], message[512] = "";
    struct keyring *ring;
    struct key_places places;
    int err, code;

    crypto_init();
    key_places_gather(&places, arguments_text(arguments, "key-file", NULL), arguments_text(arguments, "data", NULL));
    ring = keyring_new();
    err = ring == NULL ? MESH_ENOMEM : key_file_find(&places, path, message, sizeof(message));
    if (err == 0) err = key_file_read(path, ring, message, sizeof(message));
    code = err != 0 ? fail(is_json, err, message, "showing the cluster key") : print_key(keyring_in_use(ring), path, is_json);
    keyring_free(ring);
    return code;
}

int command_key_generate(const struct arguments *arguments)
{
    bool is_json = arguments_has(arguments, "json");
    const char *option = arguments_text(arguments, "key-file", NULL);
    char path[KEY_PATH_MAX], message[512] = "";
    uint8_t bytes[CLUSTER_KEY_SIZE];
    struct keyring *ring;
    struct key_places places;
    struct cluster_key key;
    int err, code;

    crypto_init();
    key_places_gather(&places, NULL, NULL);
    ring = keyring_new();
    err = ring == NULL ? MESH_ENOMEM : 0;
    if (err == 0 && option != NULL)
        snprintf(path, sizeof(path), "%s", option);
    else if (err == 0)
        err = key_file_place_for_new(&places, path, message, sizeof(message));
    random_system_bytes(bytes, sizeof(bytes));
    cluster_key_init(&key, bytes);
    crypto_wipe(bytes, sizeof(bytes));
    if (err == 0) err = keyring_install(ring, &key);
    if (err == 0) err = key_file_create(path, ring, message, sizeof(message));
    code = err != 0 ? fail(is_json, err, message, "making a cluster key") : print_key(&key, path, is_json);
    cluster_key_wipe(&key);
    keyring_free(ring);
    return code;
}

/* ---- the keys of a running mesh ---- */

static int keys_json(const struct mesh_keys *keys, struct buffer *text)
{
    struct json_writer json;

    json_writer_init(&json, text);
    json_writer_begin_object(&json);
    json_writer_key(&json, "keys");
    json_writer_begin_array(&json);
    for (size_t i = 0; i < mesh_keys_count(keys); i++) {
        const struct mesh_key_info *key = mesh_keys_at(keys, i);

        json_writer_begin_object(&json);
        json_writer_key(&json, "key_id");
        json_writer_text(&json, key->id);
        json_writer_key(&json, "in_use");
        json_writer_boolean(&json, key->is_used);
        json_writer_key(&json, "holders");
        json_writer_unsigned(&json, key->holder_count);
        json_writer_key(&json, "members");
        json_writer_unsigned(&json, key->member_count);
        json_writer_end_object(&json);
    }
    json_writer_end_array(&json);
    json_writer_key(&json, "rotation");
    if (mesh_keys_phase(keys)[0] != '\0')
        json_writer_text(&json, mesh_keys_phase(keys));
    else
        json_writer_null(&json);
    json_writer_key(&json, "waiting_for");
    if (mesh_keys_waiting_for(keys)[0] != '\0')
        json_writer_text(&json, mesh_keys_waiting_for(keys));
    else
        json_writer_null(&json);
    json_writer_end_object(&json);
    return json_writer_error(&json) != 0 ? MESH_ENOMEM : buffer_append(text, "\n", 1);
}

static int keys_people(const struct mesh_keys *keys, struct buffer *text)
{
    static const struct table_column columns[] = {{"KEY", false}, {"USE", false}, {"HELD BY", false}};
    struct table table;
    int err;

    table_init(&table, columns, 3);
    for (size_t i = 0; i < mesh_keys_count(keys); i++) {
        const struct mesh_key_info *key = mesh_keys_at(keys, i);

        table_cell(&table, "%s", key->id);
        table_cell(&table, "%s", key->is_used ? "in use" : "accepted");
        table_cell(&table, "%u of %u", key->holder_count, key->member_count);
    }
    err = table_write(&table, text, terminal_has_colours(STDOUT_FILENO));
    table_deinit(&table);
    if (err == 0 && mesh_keys_phase(keys)[0] != '\0')
        err = buffer_printf(text, "rotation: %s%s%s\n", mesh_keys_phase(keys),
                            mesh_keys_waiting_for(keys)[0] != '\0' ? ", waiting for " : "", mesh_keys_waiting_for(keys));
    return err;
}

static int print_keys(const struct session *session, const struct mesh_keys *keys)
{
    struct buffer text = BUFFER_INIT;

    return standard_output_finish(&text, session->is_json ? keys_json(keys, &text) : keys_people(keys, &text));
}

int command_key_list(const struct arguments *arguments)
{
    struct mesh_keys *keys;
    struct session session;
    int err, code = (int)session_open(arguments, &session);

    if (code != EXIT_DONE) return code;
    err = mesh_keys_get(session.client, 0, &keys);
    if (err != 0) {
        code = (int)session_fail(&session, err, "asking for the keys");
    } else {
        code = print_keys(&session, keys);
        mesh_keys_free(keys);
    }
    session_close(&session);
    return code;
}

/* A line per phase, and on a terminal who is waited for. */
static void tell_phase(const struct mesh_keys *keys, char last[256])
{
    char line[256];

    snprintf(line, sizeof(line), "%s%s%s", mesh_keys_phase(keys),
             mesh_keys_waiting_for(keys)[0] != '\0' ? ": waiting for " : "", mesh_keys_waiting_for(keys));
    if (line[0] != '\0' && strcmp(line, last) != 0 && terminal_is(STDERR_FILENO)) fprintf(stderr, "%s\n", line);
    memcpy(last, line, sizeof(line));
}

static int follow_rotation(struct session *session, struct mesh_keys *keys)
{
    const struct timespec pause = {0, POLL_MS * 1000000};
    char last[256] = "";
    int err = 0, code;

    interrupt_install();
    while (mesh_keys_phase(keys)[0] != '\0' && interrupt_signal() == 0) {
        tell_phase(keys, last);
        mesh_keys_free(keys);
        keys = NULL;
        (void)nanosleep(&pause, NULL);
        err = mesh_keys_get(session->client, 0, &keys);
        if (err != 0) return (int)session_fail(session, err, "following the rotation, which goes on");
    }
    code = print_keys(session, keys);
    mesh_keys_free(keys);
    if (code == EXIT_DONE && interrupt_signal() != 0) {
        fprintf(stderr, "The rotation goes on; 'mesh key list' shows how far it is.\n");
        code = EXIT_SIGNAL + interrupt_signal();
    }
    return code;
}

int command_key_rotate(const struct arguments *arguments)
{
    struct mesh_keys *keys;
    struct session session;
    int err, code = (int)session_open(arguments, &session);

    if (code != EXIT_DONE) return code;
    err = mesh_keys_get(session.client, 1, &keys);
    code = err != 0 ? (int)session_fail(&session, err, "rotating the cluster key") : follow_rotation(&session, keys);
    session_close(&session);
    return code;
}
