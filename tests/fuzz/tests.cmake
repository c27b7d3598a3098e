# Fuzz targets: their corpora are replayed in every build; libFuzzer programs (bin/fuzz_*) with FASTSCNN_FUZZ and clang:
#     cmake -B build/fuzz -DCMAKE_C_COMPILER=clang -DFASTSCNN_FUZZ=ON
#     cmake --build build/fuzz --target fuzz_weights
#     build/fuzz/bin/fuzz_weights -max_len=16384 -dict=tests/fuzz/weights.dict NEW_CORPUS tests/fuzz/corpus/weights
set(fuzz_folder ${CMAKE_CURRENT_LIST_DIR})
if(FASTSCNN_FUZZ AND NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
  message(FATAL_ERROR "FASTSCNN_FUZZ needs clang: configure with -DCMAKE_C_COMPILER=clang")
endif()
if(FASTSCNN_FUZZ)
  find_package(PNG REQUIRED)
  pkg_check_modules(TURBOJPEG REQUIRED IMPORTED_TARGET libturbojpeg)
endif()

# fs_fuzz(NAME CORPUS SOURCES...): NAME_fuzz.c over corpus/CORPUS. SOURCES (globs under the project) are the parts that
# the libFuzzer program compiles for itself, with coverage.
function(fs_fuzz name corpus)
  set(target_source ${fuzz_folder}/${name}_fuzz.c)
  if(NOT EXISTS ${target_source})
    return()
  endif()
  add_executable(replay_${name} ${target_source} ${fuzz_folder}/replay.c)
  target_link_libraries(replay_${name} PRIVATE fastscnn_internal)
  add_test(NAME fuzz_replay_${name} COMMAND replay_${name} ${fuzz_folder}/corpus/${corpus})
  set_tests_properties(fuzz_replay_${name} PROPERTIES TIMEOUT 600 LABELS fuzz)
  if(FASTSCNN_FUZZ)
    list(TRANSFORM ARGN PREPEND ${CMAKE_SOURCE_DIR}/)
    file(GLOB sources CONFIGURE_DEPENDS ${ARGN})
    add_executable(fuzz_${name} ${target_source} ${sources})
    target_link_libraries(fuzz_${name} PRIVATE fs_flags PNG::PNG PkgConfig::TURBOJPEG m Threads::Threads)
    target_compile_options(fuzz_${name} PRIVATE -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all)
    target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer,address,undefined)
  endif()
endfunction()

fs_fuzz(weights weights runtime/model.c runtime/base/*.c weights/*.c)
fs_fuzz(image images runtime/base/*.c host/image/*.c)

# Parts of the command, which are in no library.
set(tree_sources host/cli/tree.c host/cli/common.c host/cli/options.c)
fs_fuzz(tree json runtime/base/*.c ${tree_sources})
list(TRANSFORM tree_sources PREPEND ${CMAKE_SOURCE_DIR}/)
target_sources(replay_tree PRIVATE ${tree_sources})
