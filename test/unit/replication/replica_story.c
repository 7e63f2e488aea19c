#include "replica_story.h"

#include "base/error.h"
#include "replication/coordinator/groups_topic.h"
#include "replication/coordinator/image.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define SETTINGS_MAX 8
#define TEN_MINUTES_US (600ull * 1000000)

/* ---- the stage ---- */

static const struct image_topic *topic_of(const struct replica_stage *stage)
{
    return image_find_topic_by_name(stage->history->image, stage->topic_name);
}

struct image_partition replica_stage_partition(const struct replica_stage *stage)
{
    struct image_partition partition;

    ck_assert(image_topic_partition(topic_of(stage), 0, &partition));
    return partition;
}

static const struct image_broker *broker_of(const struct replica_stage *stage, int32_t node_id)
{
    const struct image_broker *broker = image_find_broker(stage->history->image, node_id);

    ck_assert_msg(broker != NULL, "no broker %d", node_id);
    return broker;
}

static void create_topic(struct replica_stage *stage, const char *settings)
{
    char copy[256], *save = NULL;
    struct decide_config configs[SETTINGS_MAX];
    struct decide_topic_create create = {.name = stage->topic_name, .partition_count = 1, .configs = configs};

    snprintf(copy, sizeof(copy), "%s", settings);
    for (char *pair = strtok_r(copy, ",", &save); pair != NULL; pair = strtok_r(NULL, ",", &save)) {
        char *value = strchr(pair, '=');
        *value++ = '\0';
        configs[create.config_count++] = (struct decide_config){pair, value};
    }
    create.topic_id = history_uuid(stage->history);
    ck_assert_msg(decide_topic_create(stage->history->image, &create, &stage->decision) == 0, "%s", stage->decision.message);
}

void replica_stage_open(struct replica_stage *stage, const char *zones, const char *settings)
{
    bool is_internal = strcmp(settings, "groups") == 0;
    struct image_partition partition;
    struct uuid id, unused;

    *stage = (struct replica_stage){.movement = MOVEMENT_INIT, .now_us = TEN_MINUTES_US, .topic_name = is_internal ? GROUPS_TOPIC_NAME : "t"};
    stage->history = history_new_mesh((int)strlen(zones), zones);
    decision_init(&stage->decision);
    ck_assert_int_eq(reports_new(&stage->reports), 0);
    if (is_internal) {
        id = history_uuid(stage->history);
        ck_assert_int_eq(decide_groups_topic(stage->history->image, &id, 1, NULL, &stage->decision, &unused), 0);
    } else {
        create_topic(stage, settings);
    }
    history_commit(stage->history, &stage->decision);
    partition = replica_stage_partition(stage);
    for (uint32_t i = 0; i < partition.replica_count; i++)
        stage->original_generations[partition.replicas[i]] = image_partition_generation(&partition, i);
}

void replica_stage_close(struct replica_stage *stage)
{
    reports_free(stage->reports);
    decision_deinit(&stage->decision);
    history_free(stage->history);
}

/* ---- how it stands ---- */

static void write_mask(FILE *to, const struct image_partition *partition, uint32_t mask)
{
    fputc(' ', to);
    if (mask == 0) fputc('-', to);
    for (int32_t node_id = 1; node_id <= 9; node_id++) {
        for (uint32_t i = 0; i < partition->replica_count; i++) {
            if (partition->replicas[i] == node_id && mask >> i & 1) fprintf(to, "%d", node_id);
        }
    }
}

static void write_state(const struct replica_stage *stage, char *text, size_t size)
{
    struct image_partition partition = replica_stage_partition(stage);
    FILE *to = fmemopen(text, size, "w");

    if (partition.leader == IMAGE_NO_LEADER)
        fprintf(to, "none");
    else
        fprintf(to, "%d", partition.leader);
    write_mask(to, &partition, partition.isr);
    write_mask(to, &partition, partition.elr);
    write_mask(to, &partition, partition.last_known_elr);
    fputc(' ', to);
    for (uint32_t i = 0; i < partition.replica_count; i++)
        fprintf(to, "%d%s%s", partition.replicas[i], partition.adding >> i & 1 ? "+" : "", partition.removing >> i & 1 ? "-" : "");
    if (partition.is_queued) fprintf(to, " queued");
    if (partition.is_sealing) fprintf(to, " sealed");
    if (partition.reset_epoch != 0) fprintf(to, " reset%u", partition.reset_epoch);
    fclose(to);
}

/* ---- acts ---- */

static int32_t number_of(const char *text) /* 0: none */
{
    return (int32_t)strtol(text, NULL, 10);
}

static uint32_t list_of(const char *digits, int32_t *ret_list)
{
    uint32_t count = 0;

    for (; *digits != '\0' && count < IMAGE_REPLICAS_MAX; digits++)
        ret_list[count++] = *digits - '0';
    return count;
}

enum view { VIEW_NOW, VIEW_STALE, VIEW_FORMER, VIEW_ORIGINAL };

/* What the leader says of the replicas in the list, whether they are any or not; as it is now, or as it was. */
static int wish(struct replica_stage *stage, const char *digits, enum view view)
{
    struct image_partition now = replica_stage_partition(stage);
    int32_t list[IMAGE_REPLICAS_MAX], leader = now.leader == IMAGE_NO_LEADER ? list_of(digits, list), list[0] : now.leader;
    struct decide_member members[IMAGE_REPLICAS_MAX] = {{0}};
    struct decide_isr isr = {.topic_id = topic_of(stage)->topic_id,
                             .leader_epoch = now.leader_epoch,
                             .partition_epoch = now.partition_epoch - (view == VIEW_STALE),
                             .members = members,
                             .member_count = list_of(digits, list)};
    struct decide_alter_partitions request = {.leader = leader, .broker_epoch = broker_of(stage, leader)->epoch, .partitions = &isr, .count = 1};
    struct decide_result result;
    int err;

    for (uint32_t i = 0; i < isr.member_count; i++) {
        const struct image_broker *broker = image_find_broker(stage->history->image, list[i]);
        members[i].node_id = list[i];
        members[i].broker_epoch = view == VIEW_FORMER ? stage->former_epochs[list[i]] : broker == NULL ? 0 : broker->epoch;
        for (uint32_t j = 0; j < now.replica_count; j++) {
            if (now.replicas[j] == list[i]) members[i].generation = image_partition_generation(&now, j);
        }
        if (view == VIEW_ORIGINAL) members[i].generation = stage->original_generations[list[i]];
    }
    err = decide_alter_partitions(stage->history->image, &request, NULL, &stage->decision, &result);
    return err != 0 ? err : result.error;
}

static int lose(struct replica_stage *stage, int32_t node_id)
{
    struct decide_lost lost = {topic_of(stage)->topic_id, 0, 0};
    struct decide_replicas_lost request = {node_id, broker_of(stage, node_id)->epoch, &lost, 1};
    struct image_partition now = replica_stage_partition(stage);
    struct decide_result result;
    int err;

    for (uint32_t i = 0; i < now.replica_count; i++) {
        if (now.replicas[i] == node_id) lost.generation = image_partition_generation(&now, i);
    }
    err = decide_replicas_lost(stage->history->image, &request, NULL, &stage->decision, &result);

    return err != 0 ? err : result.error;
}

static int restart(struct replica_stage *stage, int32_t node_id, bool was_unclean, bool has_lost_data)
{
    const struct image_broker *known = broker_of(stage, node_id);
    struct decide_broker_register request = {
        .broker_id = known->broker_id,
        .dir_id = known->dir_id,
        .boot = known->boot + 1,
        .name = known->name,
        .host = known->host,
        .zone = known->zone,
        .port = known->port,
        .shard_count = known->shard_count,
        .starts_fenced = true,
        .was_unclean = was_unclean,
        .has_lost_data = has_lost_data,
    };

    stage->former_epochs[node_id] = known->epoch;
    return decide_broker_register(stage->history->image, &request, &stage->decision);
}

static int move(struct replica_stage *stage, const char *digits)
{
    struct decide_move request = {.topic_id = topic_of(stage)->topic_id};

    request.count = list_of(digits, request.replicas);
    return decide_move(stage->history->image, &request, 1, NULL, &stage->decision);
}

static int report(struct replica_stage *stage, int32_t node_id, int32_t epoch, int64_t end)
{
    struct replica_report report = {node_id, broker_of(stage, node_id)->epoch, replica_stage_partition(stage).leader_epoch, epoch, end};

    return reports_put(stage->reports, &topic_of(stage)->topic_id, 0, &report, 0);
}

static int recover(struct replica_stage *stage, bool is_overdue, bool is_asked, int32_t node_id)
{
    struct decide_recover request = {.topic_id = topic_of(stage)->topic_id, .is_overdue = is_overdue, .is_asked = is_asked, .node_id = node_id};
    uint64_t since_us;

    request.report_count = reports_get(stage->reports, &request.topic_id, 0, &request.reports, &since_us);
    return decide_recover(stage->history->image, &request, &stage->decision);
}

static int tick(struct replica_stage *stage)
{
    struct decide_broker_facts brokers[32];
    struct decide_facts facts = {.brokers = brokers};
    struct decide_moves request = {.movement = &stage->movement, .moves_per_broker = 2, .now_us = stage->now_us += TEN_MINUTES_US, .facts = &facts};

    for (int32_t node_id = 1; node_id < 32; node_id++) {
        if (stage->gone >> node_id & 1) brokers[facts.broker_count++] = (struct decide_broker_facts){.node_id = node_id, .is_gone = true};
    }
    return decide_moves(stage->history->image, &request, &stage->decision);
}

static int set(struct replica_stage *stage, char *pair)
{
    char *value = strchr(pair, '=');
    struct decide_config config = {pair, value + 1};
    struct decide_topic_alter request = {.name = "t", .configs = &config, .config_count = 1};

    *value = '\0';
    return decide_topic_alter(stage->history->image, &request, &stage->decision);
}

static int act_on_broker(struct replica_stage *stage, const char *verb, int32_t node_id)
{
    struct uuid id = broker_of(stage, node_id)->broker_id;
    const struct image *image = stage->history->image;
    struct decide_broker_retire retire = {.broker_id = id, .accepts_loss = true, .is_alive_ok = true};

    if (strcmp(verb, "fence") == 0) return decide_broker_fence(image, &id, NULL, &stage->decision);
    if (strcmp(verb, "unfence") == 0) return decide_broker_unfence(image, &id, NULL, &stage->decision);
    if (strcmp(verb, "drain") == 0) return decide_broker_drain(image, &id, false, NULL, &stage->decision);
    if (strcmp(verb, "retire") == 0) return decide_broker_retire(image, &retire, &stage->decision);
    if (strcmp(verb, "restart") == 0) return restart(stage, node_id, false, false);
    if (strcmp(verb, "unclean") == 0) return restart(stage, node_id, true, false);
    if (strcmp(verb, "wipe") == 0) return restart(stage, node_id, true, true);
    ck_assert_msg(strcmp(verb, "gone") == 0, "unknown act \"%s\"", verb);
    stage->gone |= 1u << node_id;
    return 0;
}

static int act(struct replica_stage *stage, const char *verb, char *argument)
{
    const struct uuid *topic_id = &topic_of(stage)->topic_id;
    int node_id, epoch;
    long long end;

    if (strcmp(verb, "isr") == 0) return wish(stage, argument, VIEW_NOW);
    if (strcmp(verb, "stale") == 0) return wish(stage, argument, VIEW_STALE);
    if (strcmp(verb, "former") == 0) return wish(stage, argument, VIEW_FORMER);
    if (strcmp(verb, "original") == 0) return wish(stage, argument, VIEW_ORIGINAL);
    if (strcmp(verb, "lost") == 0) return lose(stage, number_of(argument));
    if (strcmp(verb, "move") == 0) return move(stage, argument);
    if (strcmp(verb, "cancel") == 0) return move(stage, "");
    if (strcmp(verb, "balance") == 0) return decide_topic_balance(stage->history->image, topic_id, NULL, &stage->decision);
    if (strcmp(verb, "elect") == 0) return decide_elect_leader(stage->history->image, topic_id, 0, NULL, &stage->decision);
    if (strcmp(verb, "set") == 0) return set(stage, argument);
    if (strcmp(verb, "recover") == 0) return recover(stage, false, false, 0);
    if (strcmp(verb, "overdue") == 0) return recover(stage, true, false, 0);
    if (strcmp(verb, "accept") == 0) return recover(stage, false, true, number_of(argument));
    if (strcmp(verb, "tick") == 0) return tick(stage);
    if (strcmp(verb, "report") != 0) return act_on_broker(stage, verb, number_of(argument));
    ck_assert_int_eq(sscanf(argument, "%d %d %lld", &node_id, &epoch, &end), 3);
    return report(stage, node_id, epoch, end);
}

/* ---- stories ---- */

static char *trim(char *text)
{
    while (*text == ' ')
        text++;
    for (size_t size = strlen(text); size > 0 && text[size - 1] == ' '; size--)
        text[size - 1] = '\0';
    return text;
}

static void play_one(struct replica_stage *stage, char *line, const char *script)
{
    char *want = strchr(line, '='), *verb, *argument, text[160], seen[200];
    int err;

    if (strncmp(trim(line), "set ", 4) == 0 && want != NULL) want = strchr(want + 1, '=');
    if (want != NULL) *want++ = '\0';
    verb = trim(line);
    argument = strchr(verb, ' ');
    if (argument != NULL)
        *argument++ = '\0';
    else
        argument = verb + strlen(verb);
    err = act(stage, verb, argument);
    history_commit(stage->history, &stage->decision);
    write_state(stage, text, sizeof(text));
    snprintf(seen, sizeof(seen), "%s%s", err != 0 ? "!" : "", err != 0 ? mesh_error_name(err) : text);
    if (want != NULL)
        ck_assert_msg(strcmp(trim(want), seen) == 0, "%s %s: \"%s\", not \"%s\" (%s; %s)\n  in: %s", verb, argument, seen, trim(want), text,
                      stage->decision.message, script);
    else
        ck_assert_msg(err == 0, "%s %s: %s (%s)\n  in: %s", verb, argument, seen, stage->decision.message, script);
}

void replica_stage_play(struct replica_stage *stage, const char *script)
{
    char copy[2048], *save = NULL;

    ck_assert_uint_lt(strlen(script), sizeof(copy));
    snprintf(copy, sizeof(copy), "%s", script);
    for (char *line = strtok_r(copy, ";", &save); line != NULL; line = strtok_r(NULL, ";", &save))
        play_one(stage, line, script);
}

void replica_story(const char *zones, const char *settings, const char *script)
{
    struct replica_stage stage;

    replica_stage_open(&stage, zones, settings);
    replica_stage_play(&stage, script);
    replica_stage_close(&stage);
}
