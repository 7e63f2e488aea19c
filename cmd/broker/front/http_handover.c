/* broker/front/http_handover.c - a mail with a descriptor and the bytes read so far. */
#include "cmd/broker/front/http_handover.h"

#include "cmd/broker/front/connection.h"
#include "cmd/broker/front/http/http.h"
#include "cmd/broker/runtime/shard.h"

#include <stdlib.h>
#include <unistd.h>

struct handover {
    struct mail mail;
    struct control *control;
    int fd;
    char peer[CONNECTION_PEER_SIZE];
    size_t size;
    uint8_t received[];
};

static void handover_arrives(struct mail *mail)
{
    struct handover *handover = container_of(mail, struct handover, mail);

    if (handover->control->http == NULL)
        close(handover->fd);
    else
        (void)http_server_adopt(handover->control->http, handover->fd, slice_of(handover->received, handover->size),
                                handover->peer);
    free(handover);
}

void http_handover(struct connection *connection, struct slice received)
{
    struct handover *handover = malloc(sizeof(*handover) + received.size);
    struct control *control = &connection->shard->broker->control;

    if (handover == NULL) {
        connection_close(connection);
        return;
    }
    handover->mail.deliver = handover_arrives;
    handover->control = control;
    handover->size = received.size;
    memcpy(handover->received, received.data, received.size);
    connection_peer(connection, handover->peer);
    handover->fd = connection_give_away(connection);
    mailbox_post(&control->mailbox, &handover->mail);
}
