#include "sim/sim_sometimes.h"

#include <string.h>

extern struct sim_sometimes *const __start_sim_sometimes[];
extern struct sim_sometimes *const __stop_sim_sometimes[];

void sim_sometimes_reset(void)
{
    for (struct sim_sometimes *const *site = __start_sim_sometimes; site < __stop_sim_sometimes; site++)
        __atomic_store_n(&(*site)->count, 0, __ATOMIC_RELAXED);
}

uint64_t sim_sometimes_count(const char *what)
{
    uint64_t count = 0;

    for (struct sim_sometimes *const *site = __start_sim_sometimes; site < __stop_sim_sometimes; site++) {
        if (strcmp((*site)->text, what) == 0) count += (*site)->count;
    }
    return count;
}

static bool is_listed(const char *file, const char *const *files)
{
    const char *slash = strrchr(file, '/'), *name = slash == NULL ? file : slash + 1;

    for (; *files != NULL; files++) {
        if (strncmp(name, *files, strlen(*files)) == 0) return true;
    }
    return false;
}

unsigned sim_sometimes_print(FILE *to, const char *const *files)
{
    unsigned missed = 0;

    for (struct sim_sometimes *const *site = __start_sim_sometimes; site < __stop_sim_sometimes; site++) {
        if (!is_listed((*site)->file, files)) continue;
        fprintf(to, "%12llu  %s%s\n", (unsigned long long)(*site)->count, (*site)->text,
                (*site)->count == 0 ? "   <-- never reached" : "");
        missed += (*site)->count == 0;
    }
    return missed;
}
