/* Bytes become HTTP requests: what is accepted, what is refused with which status, however the bytes arrive.
 */
#include "base/error.h"
#include "cmd/broker/front/http/request.h"
#include "support/run_suite.h"

#include <stdlib.h>

#define X16(text)  text text text text text text text text text text text text text text text text
#define X256(text) X16(X16(text))

static const struct {
    const char *bytes;
    int want;   /* 0, MESH_EAGAIN or MESH_EPROTO */
    int status; /* of EPROTO */
    enum http_method method;
    bool is_kept_alive;
    const char *target;
} cases[] = {
    {"GET / HTTP/1.1\r\n\r\n", 0, 0, HTTP_GET, true, "/"},
    {"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n", 0, 0, HTTP_GET, true, "/metrics"},
    {"HEAD /livez HTTP/1.1\r\n\r\n", 0, 0, HTTP_HEAD, true, "/livez"},
    {"GET /a HTTP/1.0\r\n\r\n", 0, 0, HTTP_GET, false, "/a"},
    {"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 0, 0, HTTP_GET, true, "/a"},
    {"GET /a HTTP/1.1\r\nConnection: close\r\n\r\n", 0, 0, HTTP_GET, false, "/a"},
    {"DELETE /v1/topics/a HTTP/1.1\r\n\r\n", 0, 0, HTTP_DELETE, true, "/v1/topics/a"},
    {"POST /x HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 0, 0, HTTP_POST, true, "/x"},
    {"GET /a HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", 0, 0, HTTP_GET, true, "/a"},
    {"GET /a?b=c&d=%20 HTTP/1.1\n\n", 0, 0, HTTP_GET, true, "/a?b=c&d=%20"},
    {"", MESH_EAGAIN, 0, 0, false, NULL},
    {"G", MESH_EAGAIN, 0, 0, false, NULL},
    {"GET / HTTP/1.1\r\n", MESH_EAGAIN, 0, 0, false, NULL},
    {"GET / HTTP/1.1\r\nHost: x\r\n", MESH_EAGAIN, 0, 0, false, NULL},
    {"POST /x HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", MESH_EPROTO, 413, 0, false, NULL},
    {"POST /x HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", MESH_EPROTO, 413, 0, false, NULL},
    {"GET /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", MESH_EPROTO, 413, 0,
     false, NULL},
    {"GET /x HTTP/1.1\r\nContent-Length: x\r\n\r\n", MESH_EPROTO, 400, 0, false, NULL},
    {"GET /x HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", MESH_EPROTO, 400, 0, false, NULL},
    {"GET /x HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", MESH_EPROTO, 400, 0, false,
     NULL},
    {"GET  HTTP/1.1\r\n\r\n", MESH_EPROTO, 400, 0, false, NULL},
    {"BREW /pot HTTP/1.1\r\n\r\n", MESH_EPROTO, 400, 0, false, NULL},
    {"GET /x HTTP/2.0\r\n\r\n", MESH_EPROTO, 505, 0, false, NULL},
    {"GET /x HTTP/1.1\r\nno colon here\r\n\r\n", MESH_EPROTO, 400, 0, false, NULL},
    {"MESH\x01\x00\x01", MESH_EPROTO, 400, 0, false, NULL},
    {"GET /" X16(X256("x")) " HTTP/1.1\r\n\r\n", MESH_EPROTO, 414, 0, false, NULL},
    {"GET / HTTP/1.1\r\nA: " X16(X256("xx")) "\r\n\r\n", MESH_EPROTO, 431, 0, false, NULL},
    {"GET / HTTP/1.1\r\n" X16(X256("a:b\r\n")), MESH_EPROTO, 431, 0, false, NULL},
};

/* Feeds the bytes in pieces; returns what the reader said last. */
static int feed(struct http_request_reader *reader, const char *bytes, size_t size, size_t piece)
{
    int err = MESH_EAGAIN;

    for (size_t at = 0; at < size && err == MESH_EAGAIN;) {
        size_t now = piece < size - at ? piece : size - at, used;
        uint8_t *exact = malloc(now);
        memcpy(exact, bytes + at, now);
        err = http_request_read(reader, slice_of(exact, now), &used);
        free(exact);
        ck_assert_uint_le(used, now);
        if (err == MESH_EAGAIN) ck_assert_uint_eq(used, now);
        at += used;
    }
    return err;
}

START_TEST(a_request_is_judged_alike_however_its_bytes_arrive)
{
    static const size_t pieces[] = {1, 2, 7, 100, 100000};
    size_t size = strlen(cases[_i].bytes);
    struct http_request_reader reader;

    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        http_request_reader_init(&reader);
        ck_assert(!http_request_has_begun(&reader));
        ck_assert_int_eq(feed(&reader, cases[_i].bytes, size, pieces[i]), cases[_i].want);
        if (cases[_i].want == 0) {
            ck_assert_int_eq(reader.request.method, cases[_i].method);
            ck_assert_int_eq(reader.request.is_kept_alive, cases[_i].is_kept_alive);
            ck_assert_str_eq(reader.request.target, cases[_i].target);
        } else if (cases[_i].want == MESH_EPROTO) {
            ck_assert_int_eq(reader.status, cases[_i].status);
            ck_assert_uint_gt(strlen(http_request_problem(&reader)), 10);
        }
    }
}
END_TEST

START_TEST(pipelined_requests_are_read_one_by_one)
{
    static const char bytes[] =
        "GET /1 HTTP/1.1\r\n\r\nHEAD /22 HTTP/1.1\r\nA: b\r\n\r\nGET /333 HTTP/1.1\r\n\r\n";
    static const char *const want[] = {"/1", "/22", "/333"};
    struct http_request_reader reader;
    size_t at = 0, used;

    for (int i = 0; i < 3; i++) {
        http_request_reader_init(&reader);
        ck_assert_int_eq(http_request_read(&reader, slice_of(bytes + at, sizeof(bytes) - 1 - at), &used), 0);
        ck_assert_str_eq(reader.request.target, want[i]);
        at += used;
    }
    ck_assert_uint_eq(at, sizeof(bytes) - 1);
}
END_TEST

static const struct {
    const char *target, *want;
    int err;
} path_cases[] = {
    {"/", "/", 0},
    {"/v1/topics/a?x=1", "/v1/topics/a", 0},
    {"/a%2Db", "/a-b", 0},
    {"/a#b", "/a", 0},
    {"/a%", NULL, MESH_EPROTO},
    {"/a%2", NULL, MESH_EPROTO},
    {"/a%zz", NULL, MESH_EPROTO},
    {"/a%00b", NULL, MESH_EPROTO},
    {"*", NULL, MESH_EPROTO},
    {"http://host/path", NULL, MESH_EPROTO},
    {"host:80", NULL, MESH_EPROTO},
    {"", NULL, MESH_EPROTO},
    {"/0123456789012345678901234567890", NULL, MESH_ETOOLARGE},
};

START_TEST(the_path_of_a_target_is_resolved)
{
    char path[32];

    ck_assert_int_eq(http_target_path(path_cases[_i].target, path, sizeof(path)), path_cases[_i].err);
    if (path_cases[_i].err == 0) ck_assert_str_eq(path, path_cases[_i].want);
}
END_TEST

static const struct {
    const char *target, *want;
    int err;
} parameter_cases[] = {
    {"/x?limit=5", "5", 0},
    {"/x?a=b&limit=5&c=d", "5", 0},
    {"/x?limit=", "", 0},
    {"/x?limit=%35#limit=6", "5", 0},
    {"/x", NULL, MESH_ENOTFOUND},
    {"/x?", NULL, MESH_ENOTFOUND},
    {"/x?limits=5", NULL, MESH_ENOTFOUND},
    {"/x?limit", NULL, MESH_ENOTFOUND},
    {"/x?#limit=5", NULL, MESH_ENOTFOUND},
    {"/x?limit=%", NULL, MESH_EPROTO},
    {"/x?limit=123456789", NULL, MESH_ETOOLARGE},
};

START_TEST(a_parameter_of_a_target_is_found)
{
    char value[8];

    ck_assert_int_eq(http_target_parameter(parameter_cases[_i].target, "limit", value, sizeof(value)),
                     parameter_cases[_i].err);
    if (parameter_cases[_i].err == 0) ck_assert_str_eq(value, parameter_cases[_i].want);
}
END_TEST

#define ROWS(table) ((int)(sizeof(table) / sizeof((table)[0])))

int main(void)
{
    Suite *suite = suite_create("http_request");
    TCase *tcase = tcase_create("http_request");

    tcase_add_loop_test(tcase, a_request_is_judged_alike_however_its_bytes_arrive, 0, ROWS(cases));
    tcase_add_test(tcase, pipelined_requests_are_read_one_by_one);
    tcase_add_loop_test(tcase, the_path_of_a_target_is_resolved, 0, ROWS(path_cases));
    tcase_add_loop_test(tcase, a_parameter_of_a_target_is_found, 0, ROWS(parameter_cases));
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
