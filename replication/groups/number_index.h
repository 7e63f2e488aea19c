/* groups/number_index.h - finds numbered things by their keys: open addressing over 4-byte numbers. The things know their keys, the index does not, so it costs
 * 5 to 7 bytes for each. A large one is made of parts that grow one by one: no addition moves more than a part. Owned by one loop. */
#ifndef GROUPS_NUMBER_INDEX_H
#define GROUPS_NUMBER_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NUMBER_INDEX_NONE  UINT32_MAX
#define NUMBER_INDEX_WHOLE 4096u /* numbers; with more there are parts */
#define NUMBER_INDEX_PARTS 64u   /* by the highest bits of the hash */

struct number_part {
    uint32_t *places; /* owned; numbers plus 1, 0: free */
    uint32_t size;
    uint32_t count;
};

struct number_index {
    struct number_part whole;
    struct number_part *parts; /* owned; NULL: all is in `whole` */
    uint32_t count;
};

/* How its user knows a thing: by number, and what `owner` has under it. */
struct number_keys {
    uint64_t (*hash)(const void *owner, uint32_t number); /* of its key; good in its upper half */
    bool (*is)(const void *owner, uint32_t number, const void *key);
};

void number_index_deinit(struct number_index *index);

/* NUMBER_INDEX_NONE: there is none. */
uint32_t number_index_find(const struct number_index *index, const struct number_keys *keys, const void *owner, uint64_t hash, const void *key);
/* The user has made sure that its key is not there. Errors: MESH_ENOMEM. */
int number_index_add(struct number_index *index, const struct number_keys *keys, const void *owner, uint32_t number);
void number_index_remove(struct number_index *index, const struct number_keys *keys, const void *owner, uint32_t number);

size_t number_index_bytes(const struct number_index *index);

#endif
