/* base/error.h - the error codes (see mesh/error.h) and the bridge from errno. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <mesh/error.h>

/* Maps an errno value to ours. Call it in the file that made the system call. Never returns 0 but for 0. */
int error_from_errno(int saved_errno);

#endif
