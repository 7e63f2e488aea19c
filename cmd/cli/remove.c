/* mesh remove: a broker that is gone for good is taken out of the mesh. */
#include "base/error.h"
#include "cmd/cli/commands.h"
#include "cmd/cli/json_writer.h"
#include "cmd/cli/session.h"
#include "cmd/cli/standard_output.h"

#include <stdio.h>

static int report(const struct session *session, const struct mesh_removed_info *removed)
{
    struct buffer text = BUFFER_INIT;
    struct json_writer json;

    if (!session->is_json) {
        fprintf(stderr, "%s was removed from the mesh. It hosted %u partition%s", removed->name, removed->hosted_partitions,
                removed->hosted_partitions == 1 ? "" : "s");
        if (removed->lost_partitions != 0)
            fprintf(stderr, ", of which %u %s no other copy: delete and recreate their topics", removed->lost_partitions,
                    removed->lost_partitions == 1 ? "has" : "have");
        fprintf(stderr, ". It is refused if it comes back.\n");
        return EXIT_DONE;
    }
    json_writer_init(&json, &text);
    json_writer_begin_object(&json);
    json_writer_key(&json, "removed");
    json_writer_text(&json, removed->id);
    json_writer_key(&json, "name");
    json_writer_text(&json, removed->name);
    json_writer_key(&json, "hosted_partitions");
    json_writer_unsigned(&json, removed->hosted_partitions);
    json_writer_key(&json, "lost_partitions");
    json_writer_unsigned(&json, removed->lost_partitions);
    json_writer_end_object(&json);
    return standard_output_finish(&text, json_writer_error(&json) != 0 ? MESH_ENOMEM : buffer_append(&text, "\n", 1));
}

int command_remove(const struct arguments *arguments)
{
    struct mesh_removed_info removed;
    struct session session;
    int err, code = (int)session_open(arguments, &session);

    if (code != EXIT_DONE) return code;
    err = mesh_remove(session.client, arguments->operands[0], arguments_has(arguments, "accept-loss"), &removed);
    code = err != 0 ? (int)session_fail(&session, err, "removing %s", arguments->operands[0]) : report(&session, &removed);
    session_close(&session);
    return code;
}
