/* mesh user add | list | passwd | remove: who may log in. */
#include "base/error.h"
#include "base/random.h"
#include "cmd/cli/commands.h"
#include "cmd/cli/json_writer.h"
#include "cmd/cli/password.h"
#include "cmd/cli/session.h"
#include "cmd/cli/standard_output.h"
#include "cmd/cli/table.h"
#include "cmd/cli/terminal.h"
#include "crypto/crypto.h"

#include <stdio.h>
#include <unistd.h>

/* ---- list ---- */

static int users_json(const struct mesh_users *users, struct buffer *text)
{
    struct json_writer json;

    json_writer_init(&json, text);
    json_writer_begin_object(&json);
    json_writer_key(&json, "users");
    json_writer_begin_array(&json);
    for (size_t i = 0; i < mesh_users_count(users); i++) {
        const struct mesh_user_info *user = mesh_users_at(users, i);

        json_writer_begin_object(&json);
        json_writer_key(&json, "name");
        json_writer_text(&json, user->name);
        json_writer_key(&json, "mechanisms");
        json_writer_begin_array(&json);
        if (user->mechanisms & 1) json_writer_text(&json, "SCRAM-SHA-256");
        if (user->mechanisms & 2) json_writer_text(&json, "SCRAM-SHA-512");
        json_writer_end_array(&json);
        json_writer_key(&json, "iterations");
        json_writer_unsigned(&json, user->iterations);
        json_writer_end_object(&json);
    }
    json_writer_end_array(&json);
    json_writer_end_object(&json);
    return json_writer_error(&json) != 0 ? MESH_ENOMEM : buffer_append(text, "\n", 1);
}

static int users_people(const struct mesh_users *users, struct buffer *text)
{
    static const struct table_column columns[] = {{"USER", false}, {"MECHANISMS", false}, {"ITERATIONS", true}};
    static const char *const mechanisms[] = {"-", "SCRAM-SHA-256", "SCRAM-SHA-512", "SCRAM-SHA-256, SCRAM-SHA-512"};
    struct table table;
    int err;

    if (mesh_users_count(users) == 0)
        return buffer_append_string(text, terminal_is(STDOUT_FILENO) ? "no users yet: nobody can log in with a password; 'mesh user add NAME' makes one\n" : "");
    table_init(&table, columns, 3);
    for (size_t i = 0; i < mesh_users_count(users); i++) {
        const struct mesh_user_info *user = mesh_users_at(users, i);

        table_cell(&table, "%s", user->name);
        table_cell(&table, "%s", mechanisms[user->mechanisms & 3]);
        table_cell(&table, "%u", user->iterations);
    }
    err = table_write(&table, text, terminal_has_colours(STDOUT_FILENO));
    table_deinit(&table);
    return err;
}

int command_user_list(const struct arguments *arguments)
{
    struct buffer text = BUFFER_INIT;
    struct mesh_users *users;
    struct session session;
    int err, code = (int)session_open(arguments, &session);

    if (code != EXIT_DONE) return code;
    err = mesh_users_get(session.client, &users);
    if (err != 0) {
        code = (int)session_fail(&session, err, "asking for the users");
    } else {
        code = standard_output_finish(&text, session.is_json ? users_json(users, &text) : users_people(users, &text));
        mesh_users_free(users);
    }
    session_close(&session);
    return code;
}

/* ---- changes ---- */

static int report(const struct session *session, const char *what, const char *name)
{
    struct buffer text = BUFFER_INIT;
    struct json_writer json;

    if (!session->is_json) {
        if (terminal_is(STDERR_FILENO)) fprintf(stderr, "%s: %s\n", name, what);
        return EXIT_DONE;
    }
    json_writer_init(&json, &text);
    json_writer_begin_object(&json);
    json_writer_key(&json, "name");
    json_writer_text(&json, name);
    json_writer_key(&json, "result");
    json_writer_text(&json, what);
    json_writer_end_object(&json);
    return standard_output_finish(&text, json_writer_error(&json) != 0 ? MESH_ENOMEM : buffer_append(&text, "\n", 1));
}

#define VERIFIER_COUNT 2

/* Both, so that a client may choose; each with a salt of its own. */
static void make_verifiers(const struct password *password, uint32_t iterations, struct scram_verifier made[VERIFIER_COUNT],
                           struct mesh_verifier verifiers[VERIFIER_COUNT])
{
    static const enum scram_hash hashes[VERIFIER_COUNT] = {SCRAM_SHA_256, SCRAM_SHA_512};

    for (size_t i = 0; i < VERIFIER_COUNT; i++) {
        uint8_t salt[SCRAM_SALT_SIZE];

        random_system_bytes(salt, sizeof(salt));
        scram_verifier_make(hashes[i], slice_of(password->text, password->size), slice_of(salt, sizeof(salt)), iterations, &made[i]);
        verifiers[i] = (struct mesh_verifier){
            .mechanism = (uint32_t)hashes[i],
            .iterations = iterations,
            .salt = made[i].salt,
            .salt_size = made[i].salt_size,
            .stored_key = made[i].stored_key,
            .server_key = made[i].server_key,
        };
    }
}

typedef int set_fn(struct mesh_client *client, const char *name, const struct mesh_verifier *verifiers, size_t verifier_count);

static int set_password(const struct arguments *arguments, set_fn *set, const char *doing, const char *done)
{
    const char *name = arguments->operands[0];
    struct mesh_verifier verifiers[VERIFIER_COUNT];
    struct scram_verifier made[VERIFIER_COUNT];
    char message[PASSWORD_MESSAGE_SIZE] = "";
    struct password password;
    struct session session;
    int err, code;

    crypto_init();
    err = password_read(arguments_text(arguments, "password-file", NULL), &password, message);
    if (err != 0) {
        password_wipe(&password);
        return (int)failure_report(arguments_has(arguments, "json"), err, message, "%s %s", doing, name);
    }
    make_verifiers(&password, (uint32_t)arguments_integer(arguments, "iterations", SCRAM_ITERATIONS), made, verifiers);
    password_wipe(&password);
    code = (int)session_open(arguments, &session);
    if (code == EXIT_DONE) {
        err = set(session.client, name, verifiers, VERIFIER_COUNT);
        code = err != 0 ? (int)session_fail(&session, err, "%s %s", doing, name) : report(&session, done, name);
        session_close(&session);
    }
    crypto_wipe(made, sizeof(made));
    return code;
}

int command_user_add(const struct arguments *arguments)
{
    return set_password(arguments, mesh_user_add, "adding the user", "added");
}

int command_user_passwd(const struct arguments *arguments)
{
    return set_password(arguments, mesh_user_replace, "giving another password to", "has another password");
}

int command_user_remove(const struct arguments *arguments)
{
    const char *name = arguments->operands[0];
    struct session session;
    int err, code = (int)session_open(arguments, &session);

    if (code != EXIT_DONE) return code;
    err = mesh_user_remove(session.client, name);
    code = err != 0 ? (int)session_fail(&session, err, "removing the user %s", name) : report(&session, "removed", name);
    session_close(&session);
    return code;
}
