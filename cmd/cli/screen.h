/* cli/screen.h - a terminal that a command has to itself for a while: what is drawn there is gone afterwards, and what was there before is back.
 *
 * One at a time, on standard output and standard input. screen_end() may come at any time, also without a screen_begin(). */
#ifndef CLI_SCREEN_H
#define CLI_SCREEN_H

#include "base/buffer.h"

void screen_begin(void);
void screen_end(void);

size_t screen_height(void); /* rows, 24 when unknown; at least 10 */

/* Begins a picture: the cursor goes home. Errors: MESH_ENOMEM, also of the next one. */
int screen_home(struct buffer *text);

/* Makes the picture fit: lines are cut to the screen's width, rows beyond its height left out, and what an earlier picture had there is wiped. */
int screen_fit(struct buffer *text);

/* Whether the person wants to leave (q, where the screen is ours), or a signal came. Does not wait; stays true. */
bool screen_is_left(void);

/* Waits until clock_monotonic_ms() reaches end_ms. False: screen_is_left(). */
bool screen_wait(uint64_t end_ms);

#endif
