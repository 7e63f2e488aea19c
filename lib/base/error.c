#include <mesh/error.h>

#include "base/error.h"

#include <errno.h>

const char *mesh_strerror(int error)
{
    switch (error) {
    case MESH_OK: return "success";
#define CASE(name, number, retriable, text)                                                                   \
    case MESH_##name: return text;
        MESH_ERROR_MAP(CASE)
#undef CASE
    default: return "unknown error code";
    }
}

const char *mesh_error_name(int error)
{
    switch (error) {
    case MESH_OK: return "OK";
#define CASE(name, number, retriable, text)                                                                   \
    case MESH_##name: return &#name[1];
        MESH_ERROR_MAP(CASE)
#undef CASE
    default: return "UNKNOWN_CODE";
    }
}

int mesh_error_is_retriable(int error)
{
    switch (error) {
#define CASE(name, number, retriable, text)                                                                   \
    case MESH_##name: return retriable;
        MESH_ERROR_MAP(CASE)
#undef CASE
    default: return 0;
    }
}

int error_from_errno(int saved_errno)
{
    switch (saved_errno) {
    case 0: return MESH_OK;
    case ENOMEM: return MESH_ENOMEM;
    case EINVAL: return MESH_EINVAL;
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE: return MESH_EFULL;
    case EAGAIN: return MESH_EAGAIN;
    case ETIMEDOUT: return MESH_ETIMEDOUT;
    case ENOENT: return MESH_ENOTFOUND;
    case EEXIST: return MESH_EEXISTS;
    case ECONNRESET:
    case EPIPE: return MESH_ECLOSED;
    case ECONNREFUSED:
    case EHOSTUNREACH:
    case ENETUNREACH: return MESH_EUNREACHABLE;
    default: return MESH_EIO;
    }
}
