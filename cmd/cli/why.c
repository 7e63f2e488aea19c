/* mesh why: why a broker leads a partition, and how every other candidate was judged. */
#include "cmd/cli/commands.h"
#include "cmd/cli/json_writer.h"
#include "cmd/cli/session.h"
#include "cmd/cli/standard_output.h"
#include "cmd/cli/table.h"
#include "cmd/cli/value.h"

#include <string.h>
#include <unistd.h>

static const struct {
    uint32_t flag;
    const char *word;
} flag_words[] = {
    {MESH_CANDIDATE_IN_SYNC, "in_sync"},   {MESH_CANDIDATE_ELIGIBLE, "eligible"}, {MESH_CANDIDATE_FENCED, "fenced"},
    {MESH_CANDIDATE_DRAINING, "draining"}, {MESH_CANDIDATE_RETIRED, "retired"},   {MESH_CANDIDATE_ZONE, "zone"},
    {MESH_CANDIDATE_PREFERRED, "placed"},  {MESH_CANDIDATE_LAST_KNOWN, "last_known"},
};

static void write_candidate(struct json_writer *json, const struct mesh_candidate_info *candidate)
{
    json_writer_begin_object(json);
    json_writer_key(json, "node_id");
    json_writer_integer(json, candidate->node_id);
    json_writer_key(json, "name");
    json_writer_text(json, candidate->name);
    json_writer_key(json, "standing");
    json_writer_text(json, candidate->standing);
    json_writer_key(json, "score");
    json_writer_integer(json, candidate->score);
    json_writer_key(json, "log");
    json_writer_unsigned(json, candidate->log);
    json_writer_key(json, "health");
    json_writer_unsigned(json, candidate->health);
    json_writer_key(json, "idleness");
    json_writer_unsigned(json, candidate->load);
    json_writer_key(json, "flags");
    json_writer_begin_array(json);
    for (size_t i = 0; i < sizeof(flag_words) / sizeof(flag_words[0]); i++)
        if (candidate->flags & flag_words[i].flag) json_writer_text(json, flag_words[i].word);
    json_writer_end_array(json);
    json_writer_end_object(json);
}

/* A sentence, or null when nothing is in the way. */
static void write_obstacle(struct json_writer *json, const char *key, const char *sentence)
{
    json_writer_key(json, key);
    if (sentence[0] != '\0') json_writer_text(json, sentence);
    else json_writer_null(json);
}

static int why_json(const struct mesh_why_info *why, struct buffer *text)
{
    struct json_writer json;

    json_writer_init(&json, text);
    json_writer_begin_object(&json);
    json_writer_key(&json, "topic");
    json_writer_text(&json, why->topic);
    json_writer_key(&json, "partition");
    json_writer_integer(&json, why->partition);
    json_writer_key(&json, "leader");
    json_writer_integer(&json, why->leader);
    json_writer_key(&json, "leader_name");
    json_writer_text(&json, why->leader_name);
    json_writer_key(&json, "leader_epoch");
    json_writer_integer(&json, why->leader_epoch);
    json_writer_key(&json, "elected");
    json_writer_boolean(&json, why->was_elected != 0);
    json_writer_key(&json, "decided_index");
    json_writer_unsigned(&json, why->decided_index);
    json_writer_key(&json, "reason");
    json_writer_text(&json, why->reason);
    json_writer_key(&json, "placement");
    json_writer_text(&json, why->placement);
    write_obstacle(&json, "writes_blocked", why->writes);
    write_obstacle(&json, "reads_blocked", why->reads);
    json_writer_key(&json, "candidates");
    json_writer_begin_array(&json);
    for (size_t i = 0; i < why->candidate_count; i++)
        write_candidate(&json, &why->candidates[i]);
    json_writer_end_array(&json);
    json_writer_end_object(&json);
    return json_writer_error(&json) != 0 ? MESH_ENOMEM : buffer_append(text, "\n", 1);
}

/* The replicas as they were placed, or the candidates with what they scored. */
static int append_candidates(const struct mesh_why_info *why, struct buffer *text, bool has_colours)
{
    static const struct table_column columns[] = {{"BROKER", false}, {"ID", true},     {"SCORE", true},   {"LOG", true},
                                                  {"HEALTH", true},  {"IDLENESS", true}, {"STANDING", false}};
    struct table table;
    int err;

    table_init(&table, columns, sizeof(columns) / sizeof(columns[0]));
    for (size_t i = 0; i < why->candidate_count; i++) {
        const struct mesh_candidate_info *candidate = &why->candidates[i];

        table_cell(&table, "%s", candidate->name);
        table_cell(&table, "%d", candidate->node_id);
        if (candidate->score != 0) {
            table_cell(&table, "%lld", (long long)candidate->score);
            table_cell(&table, "%u/9", candidate->log);
            table_cell(&table, "%u/10", candidate->health);
            table_cell(&table, "%u/100", candidate->load);
        } else {
            for (int blank = 0; blank < 4; blank++)
                table_cell(&table, "-");
        }
        table_cell(&table, "%s", candidate->standing);
    }
    err = buffer_append_string(text, "\n");
    if (err == 0) err = table_write(&table, text, has_colours);
    table_deinit(&table);
    return err;
}

static int why_people(const struct mesh_why_info *why, struct buffer *text)
{
    int err = buffer_printf(text, "%s/%d: %s.\n", why->topic, why->partition, why->reason);

    if (err == 0 && why->was_elected)
        err = buffer_printf(text, "Decided in entry %llu of the metadata log; leader epoch %d.\n", (unsigned long long)why->decided_index,
                            why->leader_epoch);
    if (err == 0 && why->placement[0] != '\0') err = buffer_printf(text, "Placement: %s.\n", why->placement);
    if (err == 0 && why->writes[0] != '\0') err = buffer_printf(text, "Writing:   %s.\n", why->writes);
    if (err == 0 && why->reads[0] != '\0') err = buffer_printf(text, "Reading:   %s.\n", strcmp(why->reads, why->writes) == 0 ? "the same" : why->reads);
    return err != 0 ? err : append_candidates(why, text, terminal_has_colours(STDOUT_FILENO));
}

int command_why(const struct arguments *arguments)
{
    const char *operand = arguments->operands[0];
    char topic[256];
    struct buffer text = BUFFER_INIT;
    struct mesh_why *why;
    struct session session;
    int32_t partition;
    int err, code;

    if (value_parse_partition(operand, topic, sizeof(topic), &partition) != 0 || partition < 0)
        return failure_usage("why", "a partition is written TOPIC/NUMBER, for example orders/0");
    code = (int)session_open(arguments, &session);
    if (code != EXIT_DONE) return code;
    err = mesh_why_get(session.client, topic, partition, &why);
    if (err != 0) {
        code = (int)session_fail(&session, err, "asking why %s is led as it is", operand);
    } else {
        const struct mesh_why_info *info = mesh_why_info(why);
        err = session.is_json ? why_json(info, &text) : why_people(info, &text);
        mesh_why_free(why);
        code = standard_output_finish(&text, err);
    }
    session_close(&session);
    return code;
}
