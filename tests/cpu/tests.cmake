# The CPU backend: kernels, whole networks, what must not change a bit, threads.
set(cpu ${CMAKE_CURRENT_LIST_DIR})
add_library(fs_test_network STATIC ${cpu}/network.c ${cpu}/tier_wide.c)
target_link_libraries(fs_test_network PUBLIC fastscnn_internal PkgConfig::CRITERION)
# Vectors of 64 bytes are passed between static functions only, so no ABI is at stake; arrays are filled as far as used.
set_source_files_properties(${cpu}/tier_wide.c PROPERTIES
  COMPILE_FLAGS "${FS_PLAIN_KERNEL_FLAGS} -Wno-psabi -Wno-maybe-uninitialized")

foreach(name kernels int8 int8_network parts frames chains exact backend shared)
  fs_criterion_test(test_cpu_${name} ${cpu}/${name}.c LABELS cpu)
  target_link_libraries(test_cpu_${name} PRIVATE fs_test_network)
endforeach()
target_link_libraries(test_cpu_backend PRIVATE fs_golden)
target_link_libraries(test_cpu_shared PRIVATE fs_golden)
fs_program_test(test_cpu_threads ${cpu}/threads.c LABELS threads)
if(FASTSCNN_SANITIZE MATCHES "thread") # the tier whose code the race detector sees
  set_tests_properties(test_cpu_threads PROPERTIES ENVIRONMENT FASTSCNN_CPU_ISA=sse)
endif()

# Whole networks at full size: minutes each under a sanitizer, where chains and exact run the same code on small ones.
set_tests_properties(test_cpu_backend test_cpu_shared PROPERTIES LABELS "cpu;slow")
