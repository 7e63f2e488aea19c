#include "wire/convert_config.h"

struct message_config *convert_configs_from_wire(struct conversion *conversion,
                                                 Mesh__Wire__Config *const *from, size_t count,
                                                 size_t *ret_count)
{
    struct message_config *to = convert_array(conversion, count, sizeof(*to), ret_count);

    for (size_t i = 0; i < *ret_count; i++) {
        to[i].key = convert_string(conversion, from[i]->key);
        to[i].value = convert_string(conversion, from[i]->value);
        to[i].is_default = from[i]->is_default;
    }
    return to;
}

Mesh__Wire__Config **convert_configs_to_wire(struct conversion *conversion, const struct message_config *from,
                                             size_t count, size_t *ret_count)
{
    Mesh__Wire__Config **to = convert_pointers(conversion, count, sizeof(**to), ret_count);

    for (size_t i = 0; i < *ret_count; i++) {
        mesh__wire__config__init(to[i]);
        to[i]->key = from[i].key;
        to[i]->value = from[i].value;
        to[i]->is_default = from[i].is_default;
    }
    return to;
}

void convert_configs_free(struct message_config *configs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(configs[i].key);
        free(configs[i].value);
    }
    free(configs);
}
