# mesh_core(NAME sources... LINK libs...): one core as its own static library.
# Includes are written from the top of the tree: "base/slice.h" below lib/, "segment/store.h", "cmd/broker/...".
function(mesh_core name)
  cmake_parse_arguments(ARG "" "" "LINK" ${ARGN})
  add_library(${name} STATIC ${ARG_UNPARSED_ARGUMENTS})
  target_include_directories(${name} PUBLIC ${CMAKE_SOURCE_DIR} ${CMAKE_SOURCE_DIR}/lib ${CMAKE_SOURCE_DIR}/lib/include)
  target_link_libraries(${name} PUBLIC ${ARG_LINK})
endfunction()

# What one stage of test/run needs, so that each builds that and no more.
add_custom_target(unit_tests COMMENT "what ctest -L 'unit|fuzz' runs")
add_custom_target(e2e_tests COMMENT "what ctest -L e2e runs")
add_custom_target(thread_tests COMMENT "what ctest -L threads runs")
add_custom_target(fuzzers COMMENT "the libFuzzer programs")

# A test program is compiled by every stage and runs for a moment: half of all compiling would go into optimising and describing it.
# What is worth optimising - the simulator, disks in memory, models - is a library that the program links. gcc warns of what may be
# uninitialised only when it optimises.
set(MESH_TEST_PROGRAM_OPTIONS "$<$<CONFIG:Release>:-g1;$<IF:$<C_COMPILER_ID:GNU>,-O1,-O0>>")

# Check ends a test that takes 4 s. A limit is for what hangs, also on a machine that does much else.
set(MESH_CHECK_ENVIRONMENT CK_DEFAULT_TIMEOUT=100)

# mesh_unit_test(NAME sources... LINK libs... LABELS labels... COST n): a Check program, run by ctest. Labels: test/README.md.
# What takes long has a cost, so that it does not begin last.
function(mesh_unit_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT;COST" "LINK;LABELS" ${ARGN})
  if(NOT CHECK_FOUND)
    return()
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  add_executable(${name} ${ARG_UNPARSED_ARGUMENTS})
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR} ${CMAKE_SOURCE_DIR}/lib ${CMAKE_SOURCE_DIR}/test)
  target_compile_options(${name} PRIVATE ${MESH_TEST_PROGRAM_OPTIONS})
  target_link_libraries(${name} PRIVATE ${ARG_LINK} PkgConfig::CHECK)
  add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "unit;${ARG_LABELS}" ENVIRONMENT "${MESH_CHECK_ENVIRONMENT}")
  if(ARG_COST)
    set_tests_properties(${name} PROPERTIES COST ${ARG_COST})
  endif()
  add_dependencies(unit_tests ${name})
  if("threads" IN_LIST ARG_LABELS)
    add_dependencies(thread_tests ${name})
  endif()
endfunction()

# mesh_fuzzer(NAME source LINK libs...): with clang and MESH_FUZZERS a libFuzzer binary; always a replay program that
# runs every file of test/fuzz/corpus/NAME through the same entry point, so that each compiler's test run replays it.
function(mesh_fuzzer name source)
  cmake_parse_arguments(ARG "" "" "LINK" ${ARGN})
  add_executable(replay_${name} ${source})
  target_include_directories(replay_${name} PRIVATE ${CMAKE_SOURCE_DIR} ${CMAKE_SOURCE_DIR}/lib)
  target_link_libraries(replay_${name} PRIVATE mesh_fuzz_replay ${ARG_LINK})
  add_test(NAME replay_${name} COMMAND replay_${name} ${CMAKE_SOURCE_DIR}/test/fuzz/corpus/${name})
  set_tests_properties(replay_${name} PROPERTIES TIMEOUT 60 LABELS fuzz)
  add_dependencies(unit_tests replay_${name})
  if(MESH_FUZZERS)
    add_executable(fuzz_${name} ${source})
    target_include_directories(fuzz_${name} PRIVATE ${CMAKE_SOURCE_DIR} ${CMAKE_SOURCE_DIR}/lib)
    target_link_libraries(fuzz_${name} PRIVATE ${ARG_LINK})
    target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
    add_dependencies(fuzzers fuzz_${name})
  endif()
endfunction()
