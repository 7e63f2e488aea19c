/* support/failing_alloc.h - makes the Nth allocation fail, so that a test walks every out-of-memory path.
 *
 * A test program links the CMake target mesh_failing_alloc. The linker then sends every malloc, calloc,
 * realloc, reallocarray, aligned_alloc, posix_memalign, strdup and strndup that our static libraries and the
 * test call through a counter; calls made inside shared libraries (libc, zstd...) are not seen. Works under
 * the sanitizers. Counts across threads. Check's own macros allocate: store results while armed, and judge
 * them after failing_alloc_disarm().
 *
 *     failing_alloc_each(n) {
 *         failing_alloc_arm(n);
 *         err = thing_new(&thing);
 *         if (!failing_alloc_disarm()) break;        // nothing was left to fail: the whole path has been
 * walked ck_assert_int_eq(err, MESH_ENOMEM);        // and whatever "unchanged on failure" promises
 *     }
 *     ck_assert_int_eq(err, 0); */
#ifndef SUPPORT_FAILING_ALLOC_H
#define SUPPORT_FAILING_ALLOC_H

#include <stdbool.h>

#define failing_alloc_each(n) for (unsigned n = 1;; n++)

/* From now on the nth allocation (1: the next) fails, and only that one. */
void failing_alloc_arm(unsigned nth);

/* Stops failing. True when an allocation was refused since the call of failing_alloc_arm(). */
bool failing_alloc_disarm(void);

/* From now on allocations of the calling thread neither count nor fail: for the side of a test that judges the other threads. */
void failing_alloc_spare_this_thread(void);

/* Counts as one allocation; true when it is the one to refuse. For a test's own wrappers around constructors
 * of shared libraries, such as __wrap_ZSTD_createDCtx with the linker option -Wl,--wrap=ZSTD_createDCtx. */
bool failing_alloc_refuse(void);

#endif
