/* cli/broker_choice.h - which brokers of the mesh a command is about, when it can name one. */
#ifndef CLI_BROKER_CHOICE_H
#define CLI_BROKER_CHOICE_H

#include <mesh/mesh.h>

#define BROKER_CHOICE_NAME_SIZE 256

struct chosen_broker {
    char id[37];
    char name[BROKER_CHOICE_NAME_SIZE];
    int is_self;
};

struct broker_choice {
    struct chosen_broker *brokers; /* owned */
    size_t count;
    const char *problem; /* why nobody was chosen, for people; NULL: asking failed, and the client says why */
};

/* By name or uuid, or (NULL) all that are alive or suspected. Errors: MESH_ENOTFOUND, MESH_EINVAL (a name that many have), those of mesh_members_get(). */
int broker_choose(struct mesh_client *client, const char *which, struct broker_choice *ret_choice);
void broker_choice_deinit(struct broker_choice *choice);

#endif
