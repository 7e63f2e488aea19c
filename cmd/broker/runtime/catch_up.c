/* broker/runtime/catch_up.c - see the header. */
#include "cmd/broker/runtime/catch_up.h"

#include "base/log.h"
#include "replication/coordinator/image.h"

struct search {
    int32_t node_id;
    const struct image_topic *topic; /* the first that is behind */
    uint32_t partition;
};

static bool is_behind(const struct image_partition *facts, int32_t node_id)
{
    if (facts->leader == IMAGE_NO_LEADER || facts->leader == node_id) return false;
    for (uint32_t i = 0; i < facts->replica_count; i++)
        if (facts->replicas[i] == node_id) return ((facts->isr | facts->adding) >> i & 1) == 0;
    return false;
}

/* Not 0 ends the walk. */
static int look(void *user, const struct image_topic *topic)
{
    struct search *search = user;
    struct image_partition facts;

    for (uint32_t i = 0; image_topic_partition(topic, i, &facts); i++) {
        if (!is_behind(&facts, search->node_id)) continue;
        search->topic = topic;
        search->partition = i;
        return 1;
    }
    return 0;
}

bool catch_up_is_behind(struct catch_up *catch_up, const struct image *image, int32_t node_id, uint64_t now_ms)
{
    struct search search = {.node_id = node_id};

    if (catch_up->is_over) return false;
    if (catch_up->since_ms == 0) catch_up->since_ms = now_ms > 0 ? now_ms : 1;
    (void)image_each_topic(image, look, &search);
    if (search.topic != NULL && now_ms - catch_up->since_ms < CATCH_UP_MS_MAX) return true;
    if (search.topic != NULL)
        log_warn("ready, though copies are not in sync since the start topic=%s partition=%u waited_s=%d", search.topic->name, search.partition, CATCH_UP_MS_MAX / 1000);
    catch_up->is_over = true;
    return false;
}
