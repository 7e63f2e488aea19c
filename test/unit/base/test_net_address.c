/* base/net_address.h */
#include "base/error.h"
#include "base/net_address.h"
#include "support/run_suite.h"

#include <arpa/inet.h>
#include <check.h>

static const struct {
    const char *text;
    bool is_wildcard, is_loopback;
} good[] = {
    {"10.0.0.1:9092", false, false}, {"0.0.0.0:1", true, false},   {"127.0.0.77:65535", false, true},
    {"[2001:db8::1]:9092", false, false}, {"[::]:0", true, false}, {"[::1]:80", false, true},
};

START_TEST(a_text_comes_back_as_it_was)
{
    struct net_address address, again;
    struct sockaddr_storage storage;
    socklen_t size;
    char text[NET_ADDRESS_STRING_SIZE];

    ck_assert_int_eq(net_address_parse(good[_i].text, &address), 0);
    ck_assert_str_eq(net_address_format(&address, text), good[_i].text);
    ck_assert(net_address_is_wildcard(&address) == good[_i].is_wildcard);
    ck_assert(net_address_is_loopback(&address) == good[_i].is_loopback);
    net_address_to_sockaddr(&address, &storage, &size);
    ck_assert_uint_eq(size, good[_i].text[0] == '[' ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
    ck_assert_int_eq(net_address_from_sockaddr((struct sockaddr *)&storage, &again), 0);
    ck_assert(net_address_equal(&address, &again));
}
END_TEST

static const char *const bad[] = {
    "", ":", "[", "]:1", "[]:1", "[::1]", "[::1]1:2", "10.0.0.1", "10.0.0.1:", "10.0.0.1:x", "10.0.0.1:65536",
    "10.0.0.1:999999", "10.0.0:1", "host:1", "::1:80", "[10.0.0.1]:80", "[::1:80",
    "[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]:1", "10.0.0.1: 80", "10.0.0.1:+80",
};

START_TEST(what_is_no_address_is_refused)
{
    struct net_address address = {{1}, 2};

    ck_assert_int_eq(net_address_parse(bad[_i], &address), MESH_EINVAL);
    ck_assert(address.ip[0] == 1 && address.port == 2);
}
END_TEST

START_TEST(a_mapped_address_is_ipv4)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(7)};
    struct sockaddr other = {.sa_family = AF_UNIX};
    struct net_address address;
    char text[NET_ADDRESS_STRING_SIZE];

    ck_assert_int_eq(inet_pton(AF_INET6, "::ffff:10.1.2.3", &in6.sin6_addr), 1);
    ck_assert_int_eq(net_address_from_sockaddr((struct sockaddr *)&in6, &address), 0);
    ck_assert_str_eq(net_address_format(&address, text), "10.1.2.3:7");
    ck_assert_int_eq(net_address_from_sockaddr(&other, &address), MESH_EINVAL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("net_address");
    TCase *tcase = tcase_create("net_address");

    tcase_add_loop_test(tcase, a_text_comes_back_as_it_was, 0, sizeof(good) / sizeof(good[0]));
    tcase_add_loop_test(tcase, what_is_no_address_is_refused, 0, sizeof(bad) / sizeof(bad[0]));
    tcase_add_test(tcase, a_mapped_address_is_ipv4);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
