/* broker/front/handover.c - a mail with a descriptor and the bytes read so far. */
#include "cmd/broker/front/handover.h"

#include "cmd/broker/front/connection.h"
#include "cmd/broker/front/http/http.h"
#include "cmd/broker/peers/peer_streams.h"
#include "cmd/broker/peers/peers.h"
#include "cmd/broker/runtime/shard.h"

#include <stdlib.h>
#include <unistd.h>

struct handover {
    struct mail mail;
    struct control *control;
    enum handover_door door;
    int fd;
    char peer[CONNECTION_PEER_SIZE];
    size_t size;
    uint8_t received[];
};

/* Before a door is open, and after it has closed, nobody is let in. */
static void handover_arrives(struct mail *mail)
{
    struct handover *handover = container_of(mail, struct handover, mail);
    struct control *control = handover->control;
    struct slice received = slice_of(handover->received, handover->size);

    if (handover->door == HANDOVER_HTTP && control->http != NULL)
        (void)http_server_adopt(control->http, handover->fd, received, handover->peer);
    else if (handover->door == HANDOVER_PEER && control->peers != NULL)
        peers_adopt(control->peers, handover->fd, received);
    else if (handover->door == HANDOVER_STREAM && control->peers != NULL)
        peers_adopt_stream(control->peers, handover->fd, received);
    else
        close(handover->fd);
    free(handover);
}

void handover(struct connection *connection, enum handover_door door, struct slice received)
{
    struct handover *handover = malloc(sizeof(*handover) + received.size);
    struct control *control = &connection->shard->broker->control;

    if (handover == NULL) {
        connection_close(connection);
        return;
    }
    handover->mail.deliver = handover_arrives;
    handover->control = control;
    handover->door = door;
    handover->size = received.size;
    memcpy(handover->received, received.data, received.size);
    connection_peer(connection, handover->peer);
    handover->fd = connection_give_away(connection);
    mailbox_post(&control->mailbox, &handover->mail);
}
