# Libraries that Debian 12 ships (DESIGN section 14). Each becomes an imported target.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(ZLIB REQUIRED)
find_package(Python3 REQUIRED COMPONENTS Interpreter) # makes Kafka's messages from their schema
pkg_check_modules(ISAL REQUIRED IMPORTED_TARGET libisal)
pkg_check_modules(ZSTD REQUIRED IMPORTED_TARGET libzstd)
pkg_check_modules(LZ4 REQUIRED IMPORTED_TARGET liblz4)
pkg_check_modules(PROTOBUF_C REQUIRED IMPORTED_TARGET libprotobuf-c)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
pkg_check_modules(CHECK IMPORTED_TARGET check)
pkg_check_modules(SODIUM REQUIRED IMPORTED_TARGET libsodium)
pkg_check_modules(LIBCRYPTO REQUIRED IMPORTED_TARGET libcrypto)
pkg_check_modules(LIBSSL REQUIRED IMPORTED_TARGET libssl)
pkg_check_modules(CARES REQUIRED IMPORTED_TARGET libcares)

find_library(EV_LIBRARY ev REQUIRED)
find_path(EV_INCLUDE_DIR ev.h REQUIRED)
add_library(mesh_dep_ev INTERFACE)
target_link_libraries(mesh_dep_ev INTERFACE ${EV_LIBRARY})
target_include_directories(mesh_dep_ev SYSTEM INTERFACE ${EV_INCLUDE_DIR})

# snappy is a C++ library with a C header; its .pc file is not needed for that.
find_library(SNAPPY_LIBRARY snappy REQUIRED)
find_path(SNAPPY_INCLUDE_DIR snappy-c.h REQUIRED)
add_library(mesh_dep_snappy INTERFACE)
# The program takes the few functions that it needs out of the static libraries, where there are any: otherwise 2 MB of libstdc++ are loaded, and shipped in an
# image, for 40 KiB of snappy. A target asks for it by its property MESH_STATIC_SNAPPY.
find_library(SNAPPY_STATIC_LIBRARY libsnappy.a)
execute_process(COMMAND ${CMAKE_C_COMPILER} -print-file-name=libstdc++.a OUTPUT_VARIABLE STDCXX_STATIC_LIBRARY OUTPUT_STRIP_TRAILING_WHITESPACE)
if(SNAPPY_STATIC_LIBRARY AND EXISTS "${STDCXX_STATIC_LIBRARY}")
  set(static_snappy $<BOOL:$<TARGET_PROPERTY:MESH_STATIC_SNAPPY>>)
  target_link_libraries(mesh_dep_snappy INTERFACE
    $<IF:${static_snappy},${SNAPPY_STATIC_LIBRARY},${SNAPPY_LIBRARY}> $<${static_snappy}:${STDCXX_STATIC_LIBRARY}> $<${static_snappy}:-static-libgcc>)
else()
  target_link_libraries(mesh_dep_snappy INTERFACE ${SNAPPY_LIBRARY})
endif()
target_include_directories(mesh_dep_snappy SYSTEM INTERFACE ${SNAPPY_INCLUDE_DIR})

find_program(PROTOC_C protoc-c REQUIRED)

# libhttp-parser-dev ships no .pc file.
find_library(HTTP_PARSER_LIBRARY http_parser REQUIRED)
find_path(HTTP_PARSER_INCLUDE_DIR http_parser.h REQUIRED)
add_library(mesh_dep_http_parser INTERFACE)
target_link_libraries(mesh_dep_http_parser INTERFACE ${HTTP_PARSER_LIBRARY})
target_include_directories(mesh_dep_http_parser SYSTEM INTERFACE ${HTTP_PARSER_INCLUDE_DIR})

# Debian has libipsec-mb-dev for amd64 alone, and it ships no .pc file: without it, OpenSSL's AES-GCM is used on every processor.
option(MESH_IPSEC_MB "Seal by libipsec-mb where it is there and the processor is wide enough" ON)
find_path(IPSEC_MB_INCLUDE_DIR intel-ipsec-mb.h)
if(MESH_IPSEC_MB AND IPSEC_MB_INCLUDE_DIR)
  set(IPSEC_MB_FOUND TRUE)
  add_library(mesh_dep_ipsec_mb INTERFACE) # its header: the library itself is opened by a broker that can use it (lib/crypto/gcm_wide.c)
  target_include_directories(mesh_dep_ipsec_mb SYSTEM INTERFACE ${IPSEC_MB_INCLUDE_DIR})
else()
  message(STATUS "libipsec-mb is not used: links between brokers are sealed by OpenSSL")
endif()
