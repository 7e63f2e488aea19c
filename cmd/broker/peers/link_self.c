/* peers/link_self.c - see link_self.h. */
#include "cmd/broker/peers/link_self.h"

#include "base/bytes.h"
#include "base/error.h"

#include <string.h>

void link_self_encode(const struct link_self *self, uint8_t to[LINK_SELF_SIZE])
{
    memcpy(to, self->dir_id.bytes, UUID_SIZE);
    le_store32(to + UUID_SIZE, self->abilities);
    le_store32(to + UUID_SIZE + 4, self->your_boot);
}

int link_self_decode(struct slice bytes, struct link_self *ret_self)
{
    if (bytes.size < UUID_SIZE + 4) return MESH_EPROTO;
    memcpy(ret_self->dir_id.bytes, bytes.data, UUID_SIZE);
    ret_self->abilities = le_load32(bytes.data + UUID_SIZE);
    ret_self->your_boot = bytes.size < LINK_SELF_SIZE ? 0 : le_load32(bytes.data + UUID_SIZE + 4);
    return 0;
}
