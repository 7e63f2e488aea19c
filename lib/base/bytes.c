#include "base/bytes.h"

#include <string.h>

void bytes_clear(void *to, size_t size)
{
    memset(to, 0, size);
}
