# precept_warnings(TARGET): the warnings every target of ours is built with. precept_flags(TARGET): and the sanitizers.
function(precept_warnings target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -Wshadow -Wconversion
    -Wno-sign-conversion -Wnon-virtual-dtor -Werror)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # g++ 12 warns inside its own <string> and <regex> at -O2 (PR 105329, 105651).
    target_compile_options(${target} PRIVATE -Wno-restrict -Wno-maybe-uninitialized)
  endif()
endfunction()
function(precept_flags target)
  precept_warnings(${target})
  if(PRECEPT_SANITIZE)
    target_compile_options(${target} PUBLIC -fsanitize=${PRECEPT_SANITIZE} -fno-omit-frame-pointer
      -fno-sanitize-recover=undefined)
    target_link_options(${target} PUBLIC -fsanitize=${PRECEPT_SANITIZE})
  endif()
endfunction()

# precept_library(NAME [DIR folder] [LINK libraries...]): static library precept_NAME of all sources
# in its folder (default precept/NAME). A folder without sources yet becomes an interface library.
function(precept_library name)
  cmake_parse_arguments(arg "" "DIR" "LINK" ${ARGN})
  if(NOT arg_DIR)
    set(arg_DIR precept/${name})
  endif()
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${arg_DIR}/*.cpp)
  if(sources)
    add_library(precept_${name} STATIC ${sources})
    target_include_directories(precept_${name} PUBLIC ${CMAKE_SOURCE_DIR})
    target_link_libraries(precept_${name} PUBLIC ${arg_LINK})
    precept_flags(precept_${name})
  else()
    add_library(precept_${name} INTERFACE)
    target_include_directories(precept_${name} INTERFACE ${CMAKE_SOURCE_DIR})
    target_link_libraries(precept_${name} INTERFACE ${arg_LINK})
  endif()
endfunction()

# precept_test(NAME LINK libraries... [LABELS labels...]): one binary test_NAME of tests/NAME/*.cpp,
# one ctest entry a binary (gtest's own filter picks single tests).
function(precept_test name)
  cmake_parse_arguments(arg "" "" "LINK;LABELS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/${name}/*.cpp)
  if(NOT sources)
    return()
  endif()
  add_executable(test_${name} ${sources})
  target_include_directories(test_${name} PRIVATE ${CMAKE_SOURCE_DIR})
  target_link_libraries(test_${name} PRIVATE ${arg_LINK} GTest::gtest GTest::gmock GTest::gtest_main)
  precept_flags(test_${name})
  add_test(NAME ${name} COMMAND test_${name} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  # A test that stands still is ended and named; the longest (cli) takes 6 min alone, with sanitizers several times as much.
  set(timeout 1500)
  if(PRECEPT_SANITIZE)
    set(timeout 7200)
  endif()
  set_tests_properties(${name} PROPERTIES LABELS "${arg_LABELS}" TIMEOUT ${timeout}
    ENVIRONMENT "PRECEPT_BINARY=${CMAKE_BINARY_DIR}/bin/precept;PRECEPT_SOURCE=${CMAKE_SOURCE_DIR}")
endfunction()

# precept_fuzzer(NAME LINK libraries...): libFuzzer binary fuzz_NAME of fuzz/NAME.cpp.
function(precept_fuzzer name)
  cmake_parse_arguments(arg "" "" "LINK" ${ARGN})
  if(NOT EXISTS ${CMAKE_SOURCE_DIR}/fuzz/${name}.cpp)
    return()
  endif()
  add_executable(fuzz_${name} ${name}.cpp)
  target_include_directories(fuzz_${name} PRIVATE ${CMAKE_SOURCE_DIR})
  target_link_libraries(fuzz_${name} PRIVATE ${arg_LINK})
  precept_flags(fuzz_${name})
  target_compile_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
  target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
endfunction()
