/* Reads the annotated hexadecimal files of test/golden/native. */
#ifndef TEST_WIRE_GOLDEN_FRAME_H
#define TEST_WIRE_GOLDEN_FRAME_H

#include "base/buffer.h"

/* Appends the bytes of test/golden/native/NAME.hex; the rest of a line after '#' is a comment. Fails the test
 * when there is no such file or it holds anything else. */
void golden_frame_read(const char *name, struct buffer *to);

#endif
