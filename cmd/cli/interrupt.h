/* cli/interrupt.h - SIGINT and SIGTERM as a wish to stop: the first asks, the second ends the process. */
#ifndef CLI_INTERRUPT_H
#define CLI_INTERRUPT_H

/* From now on the first signal is only noted. Waits end early then (EINTR); loops also look from time to
 * time. */
void interrupt_install(void);

/* The number of the signal that came, or 0. */
int interrupt_signal(void);

#define INTERRUPT_LOOK_MS 250 /* the longest wait between two looks at interrupt_signal() */

#endif
