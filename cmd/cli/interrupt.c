#include "cmd/cli/interrupt.h"

#include <signal.h>
#include <string.h>

static volatile sig_atomic_t received;

static void note(int number)
{
    received = number;
}

void interrupt_install(void)
{
    struct sigaction action;

    memset(&action, 0, sizeof(action));
    action.sa_handler = note;
    action.sa_flags = (int)SA_RESETHAND; /* the second one has its usual effect */
    sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
}

int interrupt_signal(void)
{
    return received;
}
