/* groups/events.c - lines for people. */
#include "cmd/broker/groups/groups_internal.h"

#include "base/error.h"
#include "base/log.h"

#include <inttypes.h>

/* Group and member names are the users': printable enough for a line (record.h refuses control characters in groups; members are cut at the first). */
static int shown(struct slice text)
{
    int size = 0;

    while ((size_t)size < text.size && text.data[size] >= 0x20)
        size++;
    return size;
}

static bool may_log(struct shard_groups *groups)
{
    static const struct net_address nowhere;

    return log_limiter_allows(&groups->lines, &nowhere, groups->shard->now_ms);
}

void groups_tell(void *user, struct group_part *part, const struct group_event *event)
{
    struct shard_groups *groups = user;
    const char *group = (const char *)event->group.data, *member = (const char *)event->member.data;

    switch (event->kind) {
    case GROUP_EVENT_EXPIRED:
        groups->counts.expired++;
        if (may_log(groups)) log_info("nothing was heard of a member for all of its session: it is out group=\"%.*s\" member=\"%.*s\"", shown(event->group), group, shown(event->member), member);
        break;
    case GROUP_EVENT_SLOW:
        groups->counts.slow++;
        if (may_log(groups))
            log_warn("a member holds partitions beyond the limit that it set itself: they are given on group=\"%.*s\" member=\"%.*s\" partitions=%u", shown(event->group), group,
                     shown(event->member), member, event->partitions);
        break;
    case GROUP_EVENT_ASSIGNED:
        groups->counts.assigned++;
        if (may_log(groups))
            log_info("a group was assigned anew group=\"%.*s\" generation=%u partitions=%u", shown(event->group), group, event->generation, event->partitions);
        break;
    case GROUP_EVENT_TOO_LARGE:
        if (may_log(groups))
            log_error("a group cannot be assigned: it has more partitions than one record holds, and keeps what it has group=\"%.*s\" generation=%u", shown(event->group), group,
                      event->generation);
        break;
    case GROUP_EVENT_SALVAGED:
        log_error("the log of a partition of consumer groups lost the end of its checkpoint: groups and offsets that were not in the rest are gone partition=%u groups=%u",
                  replica_of_part(part)->partition->number, event->partitions);
        break;
    case GROUP_EVENT_FORGOTTEN:
        if (may_log(groups)) log_info("offsets that a group uses no more are forgotten, they have expired group=\"%.*s\" offsets=%u", shown(event->group), group, event->partitions);
        break;
    case GROUP_EVENT_DELETED:
        groups->counts.deleted++;
        if (may_log(groups)) log_info("a group without members is forgotten, its offsets have expired group=\"%.*s\"", shown(event->group), group);
        break;
    }
}

void groups_tell_stopped(struct shard *shard, struct group_replica *replica)
{
    replica->is_told_stopped = true;
    (void)shard;
    log_error("a log of groups holds what this broker cannot follow, and its replica here leads no groups any more partition=%u offset=%" PRIu64 " error=\"%s\"",
              replica->partition->number, replica->part.stopped_at, mesh_strerror(replica->part.stopped_by));
}
