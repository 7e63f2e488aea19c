/* consensus/answers.c - answers that wait until the term and vote they stand for are durable. */
#include "replication/consensus/internal.h"

void answer_queue(struct raft *raft, struct answer answer)
{
    if (raft->answer_count == ANSWERS_MAX) { /* a slow disk; they are asked for again */
        raft->answer_head = (raft->answer_head + 1) % ANSWERS_MAX;
        raft->answer_count--;
    }
    if (answer.term == 0) answer.term = raft->term;
    answer.generation = raft->generation;
    raft->answers[(raft->answer_head + raft->answer_count++) % ANSWERS_MAX] = answer;
}

bool next_answer(struct raft *raft, struct message *ret_message)
{
    const struct answer *answer = &raft->answers[raft->answer_head];

    if (raft->answer_count == 0) return false;
    if (answer->generation > raft->generation_durable && !RAFT_DEFECT(raft, VOTE_NOT_HELD)) return false;
    raft->answer_head = (raft->answer_head + 1) % ANSWERS_MAX;
    raft->answer_count--;
    bytes_clear(ret_message, offsetof(struct message, config));
    ret_message->type = answer->type;
    ret_message->to = answer->to;
    ret_message->from = raft->options.self;
    ret_message->term = answer->term;
    ret_message->flags = answer->flags;
    ret_message->sequence = answer->sequence;
    ret_message->match = answer->match;
    ret_message->position.index = answer->index;
    if (answer->type == MESSAGE_TIMEOUT_NOW) ret_message->position.term = answer->hint_term;
    ret_message->hint_index = answer->hint_index;
    ret_message->hint_term = answer->hint_term;
    ret_message->offset = answer->offset;
    lives_fill(raft, ret_message);
    return true;
}
