#include "cmd/cli/broker_choice.h"

#include <mesh/error.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void broker_choice_deinit(struct broker_choice *choice)
{
    free(choice->brokers);
    *choice = (struct broker_choice){0};
}

static bool is_chosen(const struct mesh_member_info *member, const char *which)
{
    if (which == NULL) return member->state == MESH_MEMBER_ALIVE || member->state == MESH_MEMBER_SUSPECT;
    return strcmp(member->id, which) == 0 || strcmp(member->name, which) == 0;
}

/* Of those who have one name, who lives is meant. */
static bool is_better(const struct mesh_member_info *member, const struct mesh_member_info *other)
{
    return member->state < other->state && other->state >= MESH_MEMBER_DEAD;
}

static int take(const struct mesh_members *members, const char *which, struct broker_choice *choice)
{
    const struct mesh_member_info *last = NULL;

    for (size_t i = 0; i < mesh_members_count(members); i++) {
        const struct mesh_member_info *member = mesh_members_at(members, i);

        if (!is_chosen(member, which)) continue;
        if (which != NULL && last != NULL) {
            if (is_better(last, member)) continue;
            if (!is_better(member, last)) {
                choice->problem = "several brokers have this name; name its uuid, as 'mesh members' shows it";
                return MESH_EINVAL;
            }
            choice->count = 0;
        }
        last = member;
        memcpy(choice->brokers[choice->count].id, member->id, sizeof(member->id));
        snprintf(choice->brokers[choice->count].name, BROKER_CHOICE_NAME_SIZE, "%s", member->name);
        choice->brokers[choice->count++].is_self = member->is_self;
    }
    if (choice->count > 0) return 0;
    choice->problem = "there is no such broker; 'mesh members' lists them";
    return MESH_ENOTFOUND;
}

int broker_choose(struct mesh_client *client, const char *which, struct broker_choice *ret_choice)
{
    struct mesh_members *members;
    int err = mesh_members_get(client, &members);

    *ret_choice = (struct broker_choice){0};
    if (err != 0) return err;
    ret_choice->brokers = calloc(mesh_members_count(members) + 1, sizeof(ret_choice->brokers[0]));
    err = ret_choice->brokers == NULL ? MESH_ENOMEM : take(members, which, ret_choice);
    mesh_members_free(members);
    if (err != 0) free(ret_choice->brokers);
    if (err != 0) ret_choice->brokers = NULL;
    return err;
}
