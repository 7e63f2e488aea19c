/* metadata/outbox.c - outputs that are made before they are asked for: messages, lines for people, wishes for links. They own their bytes, and
 * live until the output after them is asked for. One that finds no memory is lost, as the network loses messages; whoever asked for it tries
 * again by its own timers. */
#include "replication/metadata/node_internal.h"

#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct outbox_item *node_outbox_add(struct node *node, enum node_output_type type)
{
    struct outbox_item *item = calloc(1, sizeof(*item));

    if (item == NULL) {
        node->stats.dropped++;
        return NULL;
    }
    item->output.type = type;
    list_push_back(&node->outbox.items, &item->node);
    return item;
}

static void item_free(struct outbox_item *item)
{
    if (item == NULL) return;
    buffer_deinit(&item->bytes);
    free(item);
}

bool node_outbox_next(struct node *node, struct node_output *ret_output)
{
    struct list_node *first;
    struct outbox_item *item;

    item_free(node->outbox.taken);
    node->outbox.taken = NULL;
    first = list_pop_front(&node->outbox.items);
    if (first == NULL) return false;
    item = container_of(first, struct outbox_item, node);
    if (item->bytes.size != 0) item->output.bytes = buffer_slice(&item->bytes);
    if (item->has_config) item->output.config = &item->config;
    if (item->has_text) item->output.text = item->text;
    *ret_output = item->output;
    node->outbox.taken = item;
    return true;
}

void node_outbox_deinit(struct node *node)
{
    struct node_output output;

    while (node_outbox_next(node, &output)) {
    }
}

__attribute__((format(printf, 3, 0))) static void add_event(struct node *node, enum node_level level, const char *format, va_list arguments)
{
    struct outbox_item *item = node_outbox_add(node, NODE_OUTPUT_EVENT);

    if (item == NULL) return;
    item->has_text = true;
    item->output.level = level;
    vsnprintf(item->text, sizeof(item->text), format, arguments);
}

void node_event(struct node *node, enum node_level level, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    add_event(node, level, format, arguments);
    va_end(arguments);
}

void node_fail(struct node *node, int error, const char *format, ...)
{
    va_list arguments;

    if (node->has_failed) return;
    node->has_failed = true;
    node->failure_error = error;
    va_start(arguments, format);
    vsnprintf(node->failure, sizeof(node->failure), format, arguments);
    va_end(arguments);
    node_event(node, NODE_LEVEL_ERROR, "%s", node->failure);
}

void node_send_buffer(struct node *node, const struct peer *peer, struct buffer *bytes)
{
    struct outbox_item *item = peer->is_linked ? node_outbox_add(node, NODE_OUTPUT_SEND) : NULL;

    if (item == NULL) {
        buffer_deinit(bytes);
        return;
    }
    item->output.peer = peer->id;
    item->output.link = NODE_LINK_METADATA;
    item->bytes = *bytes;
    *bytes = (struct buffer)BUFFER_INIT;
}

void node_send(struct node *node, const struct peer *peer, const struct node_message *message)
{
    struct buffer bytes = BUFFER_INIT;

    if (node_message_encode(&bytes, message) != 0) {
        buffer_deinit(&bytes);
        node->stats.dropped++;
        return;
    }
    node_send_buffer(node, peer, &bytes);
}
