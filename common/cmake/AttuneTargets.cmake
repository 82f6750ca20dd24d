# SPDX-License-Identifier: Apache-2.0
#
# One target per folder, with exactly the links that docs/architecture.md allows it.

get_filename_component(ATTUNE_ROOT ${CMAKE_CURRENT_LIST_DIR}/../.. ABSOLUTE)

# Flags of our own code. PRIVATE to it: never passed on to generated code.
add_library(attune_flags INTERFACE)
target_compile_options(attune_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wextra-semi -Wnull-dereference
  # GCC 12 reports these inside libstdc++ and Eigen, not in our code.
  $<$<CXX_COMPILER_ID:Clang>:-Wno-unknown-warning-option> -Wno-maybe-uninitialized -Wno-null-dereference -Wno-array-bounds -Wno-stringop-overflow
  # Enum fields of designated initializers that are left to their defaults on purpose.
  -Wno-missing-field-initializers)

# Every target, generated code too: the arithmetic gives the same bytes on every machine of a CPU family.
add_compile_options(-ffp-contract=off)

# Programs that read what strangers sent. Checks of indices of the standard library also where there are sanitizers; the rest only
# in optimized builds without them: the sanitizers see the same mistakes and more, and _FORTIFY_SOURCE needs an optimizer.
add_compile_definitions(_GLIBCXX_ASSERTIONS)
include(CheckPIESupported)
check_pie_supported()
if(ATTUNE_SANITIZE)
  add_compile_options(-fsanitize=${ATTUNE_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${ATTUNE_SANITIZE})
else()
  set(optimized "$<CONFIG:Release,RelWithDebInfo,MinSizeRel>")
  add_compile_options("$<${optimized}:-U_FORTIFY_SOURCE;-D_FORTIFY_SOURCE=3;-fstack-protector-strong;-fstack-clash-protection>")
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    add_compile_options("$<${optimized}:-fcf-protection>")
  endif()
  add_link_options("$<${optimized}:LINKER:-z,relro,-z,now,-z,noexecstack>")
endif()

# attune_library(NAME common_base SRCS a.cc DEPS absl::status PRIVATE_DEPS OpenSSL::Crypto)
function(attune_library)
  cmake_parse_arguments(LIB "" "NAME" "SRCS;DEPS;PRIVATE_DEPS" ${ARGN})
  add_library(attune_${LIB_NAME} STATIC ${LIB_SRCS})
  add_library(attune::${LIB_NAME} ALIAS attune_${LIB_NAME})
  target_include_directories(attune_${LIB_NAME} PUBLIC ${ATTUNE_ROOT})
  target_link_libraries(attune_${LIB_NAME} PUBLIC ${LIB_DEPS} PRIVATE attune_flags ${LIB_PRIVATE_DEPS})
endfunction()

# attune_program(NAME attune-site SRCS main.cc DEPS attune::site_agent)
function(attune_program)
  cmake_parse_arguments(PROGRAM "" "NAME" "SRCS;DEPS" ${ARGN})
  add_executable(${PROGRAM_NAME} ${PROGRAM_SRCS})
  target_include_directories(${PROGRAM_NAME} PRIVATE ${ATTUNE_ROOT})
  target_link_libraries(${PROGRAM_NAME} PRIVATE attune_flags ${PROGRAM_DEPS})
endfunction()

# attune_test(NAME common_base_test SRCS text_test.cc DEPS attune::common_base [LABELS end_to_end] [TIMEOUT 300] [SHARDS 2])
# One program per folder of tests; every case is a ctest of its own, or with SHARDS so many ctests have them all. What has the label "threads" runs under ThreadSanitizer too, and
# the target attune_threads_tests builds only that.
add_custom_target(attune_threads_tests)
# The environment of tests in which gRPC runs.
set(ATTUNE_GRPC_TEST_ENVIRONMENT "LSAN_OPTIONS=suppressions=${ATTUNE_ROOT}/deploy/lsan.supp:print_suppressions=0")
function(attune_test)
  cmake_parse_arguments(TEST "" "NAME;TIMEOUT;ENVIRONMENT;SHARDS" "SRCS;DEPS;LABELS" ${ARGN})
  if(NOT TEST_TIMEOUT)
    set(TEST_TIMEOUT 300)
  endif()
  add_executable(${TEST_NAME} ${TEST_SRCS})
  # Also in a unity build file by file: one unit of several files of tests takes longer and more memory than they do alone.
  set_target_properties(${TEST_NAME} PROPERTIES UNITY_BUILD OFF)
  target_include_directories(${TEST_NAME} PRIVATE ${ATTUNE_ROOT})
  target_link_libraries(${TEST_NAME} PRIVATE attune_flags ${TEST_DEPS} GTest::gmock GTest::gtest_main)
  if(threads IN_LIST TEST_LABELS)
    add_dependencies(attune_threads_tests ${TEST_NAME})
  endif()
  set(properties TIMEOUT ${TEST_TIMEOUT})
  if(TEST_LABELS)
    list(APPEND properties LABELS "${TEST_LABELS}")
  endif()
  if(TEST_SHARDS)
    math(EXPR last "${TEST_SHARDS} - 1")
    foreach(shard RANGE ${last})
      add_test(NAME ${TEST_NAME}.${shard} COMMAND ${TEST_NAME} --gtest_brief=1)
      set_tests_properties(${TEST_NAME}.${shard} PROPERTIES ${properties}
        ENVIRONMENT "${TEST_ENVIRONMENT};GTEST_TOTAL_SHARDS=${TEST_SHARDS};GTEST_SHARD_INDEX=${shard}")
    endforeach()
    return()
  endif()
  if(TEST_ENVIRONMENT)
    list(APPEND properties ENVIRONMENT "${TEST_ENVIRONMENT}")
  endif()
  include(GoogleTest)
  gtest_discover_tests(${TEST_NAME} NO_PRETTY_VALUES DISCOVERY_TIMEOUT 60
    PROPERTIES ${properties})
endfunction()
