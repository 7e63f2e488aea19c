#include "base/codec.h"

uint64_t codec_get_long_varint(struct codec_reader *reader)
{
    uint64_t v = 0;
    const uint8_t *next = reader->at == reader->end ? NULL : varint_decode(reader->at, reader->end, &v);

    if (next == NULL) {
        codec_reader_fail(reader);
        return 0;
    }
    reader->at = next;
    return v;
}
