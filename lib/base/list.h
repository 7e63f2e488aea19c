/* base/list.h - an intrusive doubly linked list with a head; no allocation, O(1) removal.
 *
 * A node that is in no list points to itself after list_node_init() or list_remove(). */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list_node {
    struct list_node *next, *previous;
};

#define container_of(pointer, type, member) ((type *)(void *)((char *)(pointer) - offsetof(type, member)))

static inline void list_init(struct list_node *node)
{
    node->next = node->previous = node;
}

static inline bool list_is_empty(const struct list_node *head)
{
    return head->next == head;
}

static inline void list_insert_before(struct list_node *position, struct list_node *node)
{
    node->previous = position->previous;
    node->next = position;
    position->previous->next = node;
    position->previous = node;
}

static inline void list_push_back(struct list_node *head, struct list_node *node)
{
    list_insert_before(head, node);
}

static inline void list_push_front(struct list_node *head, struct list_node *node)
{
    list_insert_before(head->next, node);
}

/* Takes node out of whatever list it is in; harmless when it is in none. */
static inline void list_remove(struct list_node *node)
{
    node->previous->next = node->next;
    node->next->previous = node->previous;
    list_init(node);
}

/* The first node, taken out, or NULL. */
static inline struct list_node *list_pop_front(struct list_node *head)
{
    struct list_node *node = head->next;

    if (node == head) return NULL;
    list_remove(node);
    return node;
}

#define list_for_each(node, head) for (struct list_node *node = (head)->next; node != (head); node = node->next)

/* The same, when the body may remove `node`. */
#define list_for_each_safe(node, head)                                                                        \
    for (struct list_node *node = (head)->next, *node##_next = node->next; node != (head);                    \
         node = node##_next, node##_next = node->next)

#endif
