# The SIMT layer that runs CUDA kernels on the CPU, in tests; needs the CUDA headers, not the toolkit.
if(FS_CUDA_INCLUDE_DIR)

# What everything that includes <simt.h> is compiled with.
add_library(fs_simt_flags INTERFACE)
target_compile_features(fs_simt_flags INTERFACE cxx_std_17)
target_include_directories(fs_simt_flags INTERFACE ${CMAKE_SOURCE_DIR}/tests/simt)
target_include_directories(fs_simt_flags SYSTEM INTERFACE ${FS_CUDA_INCLUDE_DIR})
target_compile_options(fs_simt_flags INTERFACE -g -fno-strict-aliasing -Wno-unknown-pragmas
  # Halves are plain bytes to a GPU; and g++ does not unroll as nvcc must, so it cannot see that registers are set.
  $<$<CXX_COMPILER_ID:GNU>:-Wno-class-memaccess -Wno-maybe-uninitialized>)
if(FASTSCNN_SANITIZE MATCHES thread)
  # A launch is one thread's work, and the thread sanitizer would not understand the fibers.
  target_compile_options(fs_simt_flags INTERFACE -fno-sanitize=thread)
endif()

set(simt_sources async_copy.cpp arena.cpp cluster.cpp fault.cpp fiber.cpp instructions.cpp overflow.cpp place.cpp
  run.cpp sync.cpp)
list(TRANSFORM simt_sources PREPEND ${CMAKE_CURRENT_LIST_DIR}/)

add_library(fs_simt STATIC ${simt_sources} ${CMAKE_CURRENT_LIST_DIR}/unobserved.cpp)
target_link_libraries(fs_simt PRIVATE fs_flags fs_simt_flags PUBLIC Threads::Threads ${CMAKE_DL_LIBS})

# The race build: g++ instruments kernels as for its thread sanitizer, the layer has its own hooks for that. It excludes
# the sanitizers. Programs are linked at a fixed address, which is how an access remembers its place in 32 bits.
set(FS_SIMT_RACE OFF)
if(NOT FASTSCNN_SANITIZE AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  set(FS_SIMT_RACE ON)
  set(race_sources race.cpp race_shared.cpp race_global.cpp race_handover.cpp)
  list(TRANSFORM race_sources PREPEND ${CMAKE_CURRENT_LIST_DIR}/)
  add_library(fs_simt_race STATIC ${simt_sources} ${race_sources})
  target_link_libraries(fs_simt_race PRIVATE fs_flags fs_simt_flags PUBLIC Threads::Threads ${CMAKE_DL_LIBS})
  target_link_options(fs_simt_race INTERFACE -no-pie)
  target_compile_definitions(fs_simt_race INTERFACE FS_SIMT_RACE)
endif()

# fs_simt_kernels(TARGET FILES... [RACE]): a static library of kernel files, compiled as C++ over the layer. With RACE
# (only if FS_SIMT_RACE) it is for programs of the race build.
function(fs_simt_kernels target)
  cmake_parse_arguments(arg "RACE" "" "" ${ARGN})
  set_source_files_properties(${arg_UNPARSED_ARGUMENTS} PROPERTIES LANGUAGE CXX)
  add_library(${target} STATIC ${arg_UNPARSED_ARGUMENTS})
  if(arg_RACE)
    target_link_libraries(${target} PRIVATE fs_flags fs_simt_flags PUBLIC fs_simt_race)
    target_compile_options(${target} PRIVATE -fsanitize=thread)
  else()
    target_link_libraries(${target} PRIVATE fs_flags fs_simt_flags PUBLIC fs_simt)
  endif()
endfunction()

# fs_simt_test(NAME LIBRARIES... SOURCE file): one program of this folder.
function(fs_simt_test name)
  cmake_parse_arguments(arg "" "SOURCE" "" ${ARGN})
  add_executable(${name} ${arg_SOURCE})
  target_link_libraries(${name} PRIVATE fs_flags fs_simt_flags ${arg_UNPARSED_ARGUMENTS})
  target_compile_definitions(${name} PRIVATE FS_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS simt TIMEOUT 300)
endfunction()

fs_simt_test(simt_layer fs_simt SOURCE ${CMAKE_CURRENT_LIST_DIR}/layer.cpp)
fs_simt_test(simt_fragments fs_simt SOURCE ${CMAKE_CURRENT_LIST_DIR}/fragments.cpp)
fs_simt_kernels(simt_planted_kernels ${CMAKE_CURRENT_LIST_DIR}/planted.cu)
fs_simt_test(simt_planted simt_planted_kernels SOURCE ${CMAKE_CURRENT_LIST_DIR}/planted.cpp)
if(FS_SIMT_RACE)
  fs_simt_kernels(simt_planted_kernels_race ${CMAKE_CURRENT_LIST_DIR}/planted.cu RACE)
  fs_simt_test(simt_planted_race simt_planted_kernels_race SOURCE ${CMAKE_CURRENT_LIST_DIR}/planted.cpp)
endif()

endif()
