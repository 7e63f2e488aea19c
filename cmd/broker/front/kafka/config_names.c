/* broker/front/kafka/config_names.c - see config_names.h. */
#include "cmd/broker/front/kafka/config_names.h"

#include <stdlib.h>
#include <string.h>

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct config_name *)a)->text, ((const struct config_name *)b)->text);
}

void config_names_sort(struct config_name *names, size_t count)
{
    if (count > 0) qsort(names, count, sizeof(*names), compare_names);
}

/* As strcmp() has them in order; a key has no NUL behind it, and may have one inside. */
static int compare_key(struct slice key, const char *text)
{
    size_t size = strlen(text), common = key.size < size ? key.size : size;
    int order = common == 0 ? 0 : memcmp(key.data, text, common);

    return order != 0 ? order : (key.size > size) - (key.size < size);
}

void config_names_mark(const struct config_name *names, size_t count, const struct slice *keys, size_t key_count, bool *is_wanted)
{
    for (size_t i = 0; i < key_count; i++) {
        size_t low = 0, high = count;

        while (low < high) {
            size_t middle = low + (high - low) / 2;

            if (compare_key(keys[i], names[middle].text) > 0) low = middle + 1;
            else high = middle;
        }
        if (low < count && compare_key(keys[i], names[low].text) == 0) is_wanted[names[low].number] = true;
    }
}
