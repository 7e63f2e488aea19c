/* Users and ACLs through metadata nodes: what any broker is asked is on all of them; bad ones are refused in words. */
#include "node_story.h"
#include "support/run_suite.h"

#include "base/buffer.h"
#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>

static struct image_user a_user(const char *name, uint8_t key)
{
    struct image_user user = {.verifier_count = 1};

    snprintf(user.name, sizeof(user.name), "%s", name);
    user.verifiers[0] = (struct image_verifier){.mechanism = IMAGE_SCRAM_SHA_256, .iterations = 4096, .salt_size = 16};
    memset(user.verifiers[0].salt, 7, 16);
    memset(user.verifiers[0].stored_key, key, 32);
    memset(user.verifiers[0].server_key, key + 1, 32);
    return user;
}

static struct image_acl an_acl(const char *principal, const char *topic)
{
    struct image_acl acl = {.host = "*", .resource_type = IMAGE_RESOURCE_TOPIC, .pattern = IMAGE_PATTERN_LITERAL, .operation = IMAGE_OPERATION_READ};

    snprintf(acl.principal, sizeof(acl.principal), "%s", principal);
    snprintf(acl.resource, sizeof(acl.resource), "%s", topic);
    return acl;
}

static const struct node_answer *ask(size_t host, enum node_op op, struct buffer *body)
{
    const struct node_answer *answer = story_await(node_mesh_request(mesh, host, op, buffer_slice(body), 5 * SECOND));

    buffer_deinit(body);
    return answer;
}

static const struct node_answer *change_user(size_t host, enum node_op op, const struct image_user *user)
{
    struct buffer body = BUFFER_INIT;

    ck_assert_int_eq(node_encode_user(&body, user), 0);
    return ask(host, op, &body);
}

static const struct node_answer *set_user(size_t host, const struct image_user *user)
{
    return change_user(host, NODE_OP_USER_SET, user);
}

static const struct node_answer *remove_user(size_t host, const char *name)
{
    struct buffer body = BUFFER_INIT;

    ck_assert_int_eq(node_encode_user_name(&body, name), 0);
    return ask(host, NODE_OP_USER_REMOVE, &body);
}

static const struct node_answer *change_acl(size_t host, enum node_op op, const struct image_acl *acl)
{
    struct buffer body = BUFFER_INIT;

    ck_assert_int_eq(node_encode_acl(&body, acl), 0);
    return ask(host, op, &body);
}

static const struct image *image_of(size_t host)
{
    return node_image(node_mesh_node(mesh, host));
}

START_TEST(users_are_set_replaced_and_removed_everywhere)
{
    struct image_user alice = a_user("alice", 1), again = a_user("alice", 9);

    story_begin(3);
    story_found(3);
    ck_assert_int_eq(set_user(0, &alice)->error, 0);
    ck_assert_int_eq(set_user(1, &again)->error, 0);
    node_mesh_run(mesh, SECOND);
    for (size_t i = 0; i < 3; i++) {
        const struct image_user *found = image_find_user(image_of(i), "alice");

        ck_assert_ptr_nonnull(found);
        ck_assert_uint_eq(image_user_count(image_of(i)), 1);
        ck_assert_uint_eq(found->verifier_count, 1);
        ck_assert_mem_eq(&found->verifiers[0], &again.verifiers[0], sizeof(again.verifiers[0]));
    }
    ck_assert_int_eq(remove_user(2, "alice")->error, 0);
    ck_assert_ptr_null(image_find_user(image_of(2), "alice"));
    ck_assert_int_eq(remove_user(2, "alice")->error, MESH_ENOTFOUND);
    story_end();
}
END_TEST

START_TEST(users_are_added_once_and_replaced_where_they_are)
{
    struct image_user alice = a_user("alice", 1), other = a_user("alice", 9);

    story_begin(3);
    story_found(3);
    ck_assert_int_eq(change_user(0, NODE_OP_USER_REPLACE, &alice)->error, MESH_ENOTFOUND);
    ck_assert_int_eq(change_user(0, NODE_OP_USER_ADD, &alice)->error, 0);
    ck_assert_int_eq(change_user(1, NODE_OP_USER_ADD, &other)->error, MESH_EEXISTS); /* whatever this host's image knows */
    node_mesh_run(mesh, SECOND);
    ck_assert_mem_eq(&image_find_user(image_of(2), "alice")->verifiers[0], &alice.verifiers[0], sizeof(alice.verifiers[0]));
    ck_assert_int_eq(change_user(2, NODE_OP_USER_REPLACE, &other)->error, 0);
    ck_assert_int_eq(remove_user(1, "alice")->error, 0);
    ck_assert_int_eq(change_user(2, NODE_OP_USER_REPLACE, &other)->error, MESH_ENOTFOUND);
    node_mesh_run(mesh, SECOND);
    ck_assert_uint_eq(image_user_count(image_of(0)), 0);
    story_end();
}
END_TEST

START_TEST(acls_are_added_once_and_removed_exactly)
{
    struct image_acl reads = an_acl("User:alice", "orders"), others = an_acl("User:alice", "bills");

    story_begin(3);
    story_found(3);
    ck_assert_int_eq(change_acl(0, NODE_OP_ACL_ADD, &reads)->error, 0);
    ck_assert_int_eq(change_acl(1, NODE_OP_ACL_ADD, &reads)->error, 0);
    ck_assert_uint_eq(image_acl_count(image_of(1)), 1);
    ck_assert(image_has_acl(image_of(1), &reads));
    ck_assert_int_eq(change_acl(2, NODE_OP_ACL_REMOVE, &others)->error, MESH_ENOTFOUND);
    ck_assert_int_eq(change_acl(2, NODE_OP_ACL_REMOVE, &reads)->error, 0);
    ck_assert_uint_eq(image_acl_count(image_of(2)), 0);
    story_end();
}
END_TEST

START_TEST(what_makes_no_sense_is_refused_in_words)
{
    struct image_user weak = a_user("bob", 1);
    struct image_acl nobody = an_acl("alice", "orders");
    const struct node_answer *answer;

    story_begin(1);
    story_found(1);
    weak.verifiers[0].iterations = 100;
    answer = set_user(0, &weak);
    ck_assert_int_eq(answer->error, MESH_EINVAL);
    ck_assert_ptr_nonnull(strstr(answer->text, "4096"));
    answer = change_acl(0, NODE_OP_ACL_ADD, &nobody);
    ck_assert_int_eq(answer->error, MESH_EINVAL);
    ck_assert_ptr_nonnull(strstr(answer->text, "User:"));
    for (enum node_op op = NODE_OP_USER_SET; op <= NODE_OP_ACL_REMOVE; op++) {
        struct buffer nonsense = BUFFER_INIT;

        ck_assert_int_eq(buffer_append(&nonsense, "\x09\xff", 2), 0);
        ck_assert_int_eq(ask(0, op, &nonsense)->error, op < NODE_OP_ACL_ADD ? MESH_EPROTO : MESH_EUNSUPPORTED); /* an ACL of version 9 */
    }
    ck_assert_uint_eq(image_user_count(image_of(0)), 0);
    ck_assert_uint_eq(image_acl_count(image_of(0)), 0);
    story_end();
}
END_TEST

START_TEST(what_cannot_be_written_is_refused_at_once)
{
    struct buffer body = BUFFER_INIT;
    struct image_user user = a_user("", 1);
    struct image_acl acl = an_acl("User:alice", "");
    char long_name[IMAGE_NAME_SIZE_MAX + 2];

    memset(long_name, 'x', sizeof(long_name) - 1);
    long_name[sizeof(long_name) - 1] = '\0';
    ck_assert_int_eq(node_encode_user(&body, &user), MESH_EINVAL);
    user = a_user("bob", 1);
    user.verifier_count = IMAGE_SCRAM_COUNT + 1;
    ck_assert_int_eq(node_encode_user(&body, &user), MESH_EINVAL);
    user = a_user("bob", 1);
    user.verifiers[0].salt_size = IMAGE_SALT_SIZE_MAX + 1;
    ck_assert_int_eq(node_encode_user(&body, &user), MESH_EINVAL);
    ck_assert_int_eq(node_encode_user_name(&body, long_name), MESH_EINVAL);
    ck_assert_int_eq(node_encode_acl(&body, &acl), MESH_EINVAL);
    ck_assert_uint_eq(body.size, 0);
    buffer_deinit(&body);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("node_access");
    TCase *tcase = tcase_create("node_access");

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, users_are_set_replaced_and_removed_everywhere);
    tcase_add_test(tcase, users_are_added_once_and_replaced_where_they_are);
    tcase_add_test(tcase, acls_are_added_once_and_removed_exactly);
    tcase_add_test(tcase, what_makes_no_sense_is_refused_in_words);
    tcase_add_test(tcase, what_cannot_be_written_is_refused_at_once);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
