/* coordinator/durability.c - see durability.h. */
#include "replication/coordinator/durability.h"

#include "base/error.h"
#include "replication/coordinator/image_pages.h"
#include "replication/coordinator/partition_rules.h"

#include <stdio.h>

/* ---- configs of a body ---- */

static bool find(const struct body_topic *body, enum topic_config_id id, int64_t *ret_value)
{
    for (uint32_t i = 0; i < body->config_count; i++) {
        if (body->configs[i].id != id) continue;
        *ret_value = body->configs[i].value;
        return true;
    }
    return false;
}

int64_t durability_config(const struct body_topic *body, enum topic_config_id id)
{
    int64_t value, mode = TOPIC_MODE_ISR;

    if (find(body, id, &value)) return value;
    find(body, TOPIC_CONFIG_MODE, &mode);
    return topic_config_fallback(id, (enum topic_mode)mode);
}

void durability_set(struct body_topic *body, enum topic_config_id id, int64_t value)
{
    uint32_t at = 0;

    while (at < body->config_count && body->configs[at].id < id)
        at++;
    if (at == body->config_count || body->configs[at].id != id) {
        for (uint32_t i = body->config_count++; i > at; i--)
            body->configs[i] = body->configs[i - 1];
    }
    body->configs[at] = (struct image_config){id, value};
}

/* ---- what goes together ---- */

static const char *plural(int64_t count)
{
    return count == 1 ? "" : "s";
}

static int check_quorum(const struct body_topic *body, int32_t factor, struct decision *decision)
{
    int64_t min = durability_config(body, TOPIC_CONFIG_MIN_INSYNC);

    if (min != 0 && min != factor / 2 + 1)
        return decision_refuse(decision, MESH_EINVALID_CONFIG,
                               "min.insync=%lld: mode=quorum always waits for the majority, %d of %d; leave min.insync out", (long long)min,
                               factor / 2 + 1, factor);
    if (durability_config(body, TOPIC_CONFIG_FLUSH) != TOPIC_FLUSH_GROUP)
        return decision_refuse(decision, MESH_EINVALID_CONFIG,
                               "mode=quorum needs flush=group: its elections count what replicas have on their disks");
    if (durability_config(body, TOPIC_CONFIG_UNCLEAN) != TOPIC_UNCLEAN_MANUAL)
        return decision_refuse(decision, MESH_EINVALID_CONFIG, "mode=quorum never elects without a majority by itself; leave unclean=manual");
    return 0;
}

static int check_mode(const struct body_topic *body, int32_t factor, struct decision *decision)
{
    int64_t min = durability_config(body, TOPIC_CONFIG_MIN_INSYNC);

    switch ((enum topic_mode)durability_config(body, TOPIC_CONFIG_MODE)) {
    case TOPIC_MODE_QUORUM: return check_quorum(body, factor, decision);
    case TOPIC_MODE_SYNC_DOUBLE_WRITE:
        if (factor != 2)
            return decision_refuse(decision, MESH_EINVALID_REPLICATION, "mode=sync-double-write keeps two replicas, not %d", factor);
        if (durability_config(body, TOPIC_CONFIG_FLUSH) == TOPIC_FLUSH_GROUP) return 0;
        return decision_refuse(decision, MESH_EINVALID_CONFIG, "mode=sync-double-write needs flush=group");
    case TOPIC_MODE_ASYNC:
        if (min == 1) return 0;
        return decision_refuse(decision, MESH_EINVALID_CONFIG,
                               "mode=async acknowledges by the leader alone, so min.insync is 1; choose mode=isr to wait for more");
    case TOPIC_MODE_ISR: break;
    }
    return 0;
}

int durability_check(const struct body_topic *body, int32_t factor, struct decision *decision)
{
    int64_t min = durability_config(body, TOPIC_CONFIG_MIN_INSYNC);
    int err = check_mode(body, factor, decision);

    if (err != 0 || min <= factor) return err;
    return decision_refuse(decision, MESH_EINVALID_CONFIG, "min.insync=%lld cannot be met by %d replica%s", (long long)min, factor,
                           plural(factor));
}

void durability_warn(const struct body_topic *body, int32_t factor, int32_t placed, struct decision *decision)
{
    int64_t min = durability_config(body, TOPIC_CONFIG_MIN_INSYNC);
    bool is_chosen = durability_config(body, TOPIC_CONFIG_MODE) == TOPIC_MODE_ASYNC;
    char refusal[160] = "";

    if (min > placed)
        snprintf(refusal, sizeof(refusal), "; until %lld are there (min.insync), acks=all is refused: min.insync=%d would accept records now, on %s",
                 (long long)min, placed, placed == 1 ? "one disk" : "fewer disks");
    if (placed < factor) {
        snprintf(decision->message, sizeof(decision->message),
                 "%d replicas are wanted and %d broker%s up: the others are added as brokers join%s", factor, placed,
                 placed == 1 ? " is" : "s are", refusal);
    } else if (min == 1 && factor > 1 && !is_chosen) {
        snprintf(decision->message, sizeof(decision->message),
                 "min.insync=1 with %d replicas: a record may be acknowledged that is on one disk only, and be lost with it", factor);
    }
}

int durability_check_change(const struct image_topic *topic, const struct body_topic *body, struct decision *decision)
{
    bool was_quorum = image_topic_mode(topic) == TOPIC_MODE_QUORUM;
    bool is_quorum = durability_config(body, TOPIC_CONFIG_MODE) == TOPIC_MODE_QUORUM;

    if (was_quorum == is_quorum) return 0;
    return decision_refuse(decision, MESH_EINVALID_CONFIG,
                           "mode=quorum is chosen when a topic is made: who may lead is found in another way than in the other modes");
}

/* ---- min.insync falls, or rises ---- */

/* Leaders are bound to it from the moment on in which they know: an ALTER of one that does not yet would let it go on with fewer, while those who leave
 * count as eligible. So its ALTERs are refused, by another partition epoch, until it has the image. */
static bool rises(const struct image_topic *topic, const struct image_topic *next, const struct body_partition *state)
{
    return image_topic_mode(topic) == TOPIC_MODE_ISR && rules_min_insync(next, state) > rules_min_insync(topic, state);
}

int durability_settle(const struct image_topic *topic, const struct body_topic *body, struct decision *decision)
{
    struct changes changes = {.decision = decision};
    struct image_topic next = *topic;
    struct body_partition state;
    int err = 0;

    next.configs = body->configs;
    next.config_count = body->config_count;
    for (uint32_t i = 0; i < topic->partition_count && err == 0; i++) {
        image_pages_load(topic->pages, i, &state);
        if (rises(topic, &next, &state)) {
            err = changes_put(&changes, topic, &state);
            continue;
        }
        if ((state.elr | state.last_known_elr) == 0) continue;
        rules_settle(&next, &state);
        if ((state.elr | state.last_known_elr) == 0) err = changes_put(&changes, topic, &state);
    }
    return err != 0 ? err : changes_end(&changes);
}
