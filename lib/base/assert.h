/* base/assert.h - asserts what only a bug can break; active in release builds too.
 *
 * A stopped replica is repaired by others, a wrong one spreads. Never judges input from outside. */
#ifndef BASE_ASSERT_H
#define BASE_ASSERT_H

_Noreturn void assert_failed(const char *expression, const char *file, int line);

#define MESH_ASSERT(expression)                                                                               \
    (__builtin_expect(!(expression), 0) ? assert_failed(#expression, __FILE__, __LINE__) : (void)0)

#endif
