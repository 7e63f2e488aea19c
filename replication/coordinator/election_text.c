/* coordinator/election_text.c - elections for people (elector.h). */
#include "replication/coordinator/elector.h"

#include <stdio.h>

static const char *name_of(const struct image *image, int32_t node_id)
{
    const struct image_broker *broker = image_find_broker(image, node_id);

    return broker == NULL ? "no longer in the mesh" : broker->name;
}

static const char *reason_text(enum image_election_reason reason)
{
    switch (reason) {
    case IMAGE_ELECTION_FENCED: return "the leader before lost its session";
    case IMAGE_ELECTION_DRAINED: return "the leader before was being stopped";
    case IMAGE_ELECTION_RETIRED: return "the leader before was removed from the mesh";
    case IMAGE_ELECTION_RETURNED: return "there was no leader, and a broker that may lead came back";
    case IMAGE_ELECTION_BALANCED: return "leadership went back to where the partition was placed";
    case IMAGE_ELECTION_ASKED: return "an operator asked for it";
    case IMAGE_ELECTION_RESTARTED: return "the leader before began a new life";
    case IMAGE_ELECTION_UNCLEAN: return "no complete replica was left, so acknowledged records may be lost";
    case IMAGE_ELECTION_MOVED: return "the replica that led was moved to another broker";
    case IMAGE_ELECTION_DAMAGED: return "the log of the leader before is damaged";
    case IMAGE_ELECTION_SEALED: return "of the replicas that a majority reported, this one's log is the longest";
    case IMAGE_ELECTION_NONE: break;
    }
    return "for a reason that this version does not know";
}

int election_explain(const struct image *image, const struct image_election *election, char *to, size_t size)
{
    if (election->leader == IMAGE_NO_LEADER)
        return snprintf(to, size, "nobody leads since epoch %d: %s, and no complete replica could take over", election->leader_epoch,
                        reason_text(election->reason));
    return snprintf(to, size, "broker %d (%s) leads since epoch %d: %s", election->leader, name_of(image, election->leader),
                    election->leader_epoch, reason_text(election->reason));
}

/* Why a candidate could not be elected. */
static const char *obstacle(const struct image_candidate *candidate)
{
    if (candidate->flags & IMAGE_CANDIDATE_RETIRED) return "it was removed from the mesh";
    if (candidate->flags & IMAGE_CANDIDATE_FENCED) return "it has no session with the coordinator (fenced)";
    if (candidate->flags & IMAGE_CANDIDATE_DRAINING) return "it is being stopped";
    if (candidate->flags & IMAGE_CANDIDATE_IN_SYNC) return "it is in sync, but cannot be used";
    if (candidate->flags & IMAGE_CANDIDATE_ELIGIBLE) return "it is complete, but others are in sync";
    if (candidate->flags & IMAGE_CANDIDATE_LAST_KNOWN) return "it stopped uncleanly and may lack records";
    return "it is not in sync";
}

static const char *completeness(const struct image_candidate *candidate)
{
    if (candidate->flags & IMAGE_CANDIDATE_IN_SYNC) return "in sync";
    return candidate->flags & IMAGE_CANDIDATE_ELIGIBLE ? "complete (ELR)" : "the last one known to be complete";
}

int election_explain_standing(const struct image_election *election, uint32_t i, char *to, size_t size)
{
    const struct image_candidate *candidate = &election->candidates[i];

    if (candidate->score == 0) return snprintf(to, size, "could not lead: %s", obstacle(candidate));
    return snprintf(to, size, "%s: %s, %s zone%s", candidate->node_id == election->leader ? "elected" : "could have led",
                    completeness(candidate), candidate->flags & IMAGE_CANDIDATE_ZONE ? "preferred" : "another",
                    candidate->flags & IMAGE_CANDIDATE_PREFERRED ? ", placed as leader" : "");
}

int election_explain_candidate(const struct image *image, const struct image_election *election, uint32_t i, char *to, size_t size)
{
    const struct image_candidate *candidate = &election->candidates[i];
    const char *name = name_of(image, candidate->node_id);

    if (candidate->score == 0)
        return snprintf(to, size, "broker %d (%s): could not lead, %s", candidate->node_id, name, obstacle(candidate));
    return snprintf(to, size, "broker %d (%s): %lld points%s: %s, log %u of 9, %szone, health %u of 10, idleness %u of 100%s",
                    candidate->node_id, name, (long long)candidate->score,
                    candidate->node_id == election->leader ? ", elected" : "",
                    completeness(candidate), candidate->log, candidate->flags & IMAGE_CANDIDATE_ZONE ? "preferred " : "another ", candidate->health,
                    candidate->load, candidate->flags & IMAGE_CANDIDATE_PREFERRED ? ", placed as leader" : "");
}
