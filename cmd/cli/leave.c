/* mesh leave: one broker leaves the mesh, in good order. */
#include "base/error.h"
#include "cmd/cli/commands.h"
#include "cmd/cli/json_writer.h"
#include "cmd/cli/session.h"
#include "cmd/cli/standard_output.h"

#include <stdio.h>
#include <string.h>

/* The member that answers is the one that would leave; its name and id into the arrays. */
static int ask_who(struct session *session, char *name, size_t name_size, char id[37])
{
    struct mesh_members *members;
    int err = mesh_members_get(session->client, &members);

    if (err != 0) return err;
    for (size_t i = 0; i < mesh_members_count(members); i++) {
        const struct mesh_member_info *member = mesh_members_at(members, i);

        if (!member->is_self) continue;
        snprintf(name, name_size, "%s", member->name);
        memcpy(id, member->id, 37);
    }
    mesh_members_free(members);
    return 0;
}

static int report(const struct session *session, const char *name, const char *id)
{
    struct buffer text = BUFFER_INIT;
    struct json_writer json;

    if (!session->is_json) {
        fprintf(stderr, "%s has left the mesh and stops; its records stay in its data directory.\n", name);
        return EXIT_DONE;
    }
    json_writer_init(&json, &text);
    json_writer_begin_object(&json);
    json_writer_key(&json, "left");
    json_writer_text(&json, id);
    json_writer_key(&json, "name");
    json_writer_text(&json, name);
    json_writer_end_object(&json);
    return standard_output_finish(&text, json_writer_error(&json) != 0 ? MESH_ENOMEM : buffer_append(&text, "\n", 1));
}

int command_leave(const struct arguments *arguments)
{
    char name[128] = "the broker", id[37] = "";
    struct session session;
    int err, code = (int)session_open(arguments, &session);

    if (code != EXIT_DONE) return code;
    err = ask_who(&session, name, sizeof(name), id);
    if (err == 0) err = mesh_leave(session.client);
    code = err != 0 ? (int)session_fail(&session, err, "leaving the mesh") : report(&session, name, id);
    session_close(&session);
    return code;
}
