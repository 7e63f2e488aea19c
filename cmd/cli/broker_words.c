#include "cmd/cli/broker_words.h"

const char *broker_words_coordinator(const struct mesh_status_info *status)
{
    for (size_t i = 0; i < status->broker_count; i++)
        if (status->brokers[i].node_id == status->coordinator) return status->brokers[i].id;
    return NULL;
}

const char *broker_words_role(const struct mesh_status_info *status, const struct mesh_broker_info *broker)
{
    if (broker->node_id == status->coordinator) return "coordinator";
    for (size_t i = 0; i < status->voter_count; i++) {
        if (status->voters[i].node_id != broker->node_id) continue;
        if (status->voters[i].is_learner) return "learner";
        return broker->is_witness ? "witness" : "voter";
    }
    return broker->is_witness ? "witness" : "observer";
}

const char *broker_words_state(const struct mesh_broker_info *broker)
{
    if (broker->is_fenced) return "fenced";
    if (broker->has_bad_disk) return "disk failed";
    return broker->is_draining ? "draining" : "serving";
}
