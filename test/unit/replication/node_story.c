#include "node_story.h"

#include <stdio.h>

struct node_mesh *mesh;

void story_begin_with(const struct node_mesh_options *options)
{
    mesh = node_mesh_new(options);
    for (size_t i = 0; i < options->count; i++)
        node_mesh_start(mesh, i);
}

void story_begin(size_t count)
{
    struct node_mesh_options options;

    node_mesh_options_init(&options, count);
    story_begin_with(&options);
}

void story_end(void)
{
    node_mesh_free(mesh);
    mesh = NULL;
}

struct node_status story_status(size_t host)
{
    struct node_status status;

    node_get_status(node_mesh_node(mesh, host), &status);
    return status;
}

static bool all_serve(struct node_mesh *of, void *user)
{
    (void)user;
    for (size_t i = 0; i < node_mesh_count(of); i++) {
        struct node_status status;

        if (node_mesh_node(of, i) == NULL) continue;
        node_get_status(node_mesh_node(of, i), &status);
        if (!status.is_serving || !status.has_session || !status.is_registered) return false;
    }
    return true;
}

void story_await_all(uint64_t at_most_us)
{
    if (node_mesh_run_until(mesh, all_serve, NULL, at_most_us)) return;
    for (size_t i = 0; i < node_mesh_count(mesh); i++) {
        struct node_status status;

        if (node_mesh_node(mesh, i) == NULL) continue;
        status = story_status(i);
        fprintf(stderr, "host %zu: role %d term %llu applied %llu registered %d fenced %d serving %d session %d %s\n", i, (int)status.role,
               (unsigned long long)status.term, (unsigned long long)status.applied, status.is_registered, status.is_fenced,
               status.is_serving, status.has_session, status.failure);
    }
    ck_abort_msg("not all serve");
}

void story_found(size_t founders)
{
    node_mesh_found(mesh, founders);
    story_await_all(10 * SECOND);
}

static bool is_answered(struct node_mesh *of, void *user)
{
    return node_mesh_answer(of, *(int *)user)->is_there;
}

const struct node_answer *story_await(int request)
{
    ck_assert_int_ge(request, 0);
    ck_assert(node_mesh_run_until(mesh, is_answered, &request, 30 * SECOND));
    return node_mesh_answer(mesh, request);
}

const struct image_topic *story_topic(size_t host, const char *name)
{
    return image_find_topic_by_name(node_image(node_mesh_node(mesh, host)), name);
}
