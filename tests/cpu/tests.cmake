# The CPU backend: kernels, whole networks, what must not change a bit, threads.
set(cpu_network ${CMAKE_CURRENT_LIST_DIR}/network.c ${CMAKE_CURRENT_LIST_DIR}/tier_wide.c)
fs_criterion_test(test_cpu_backend ${CMAKE_CURRENT_LIST_DIR}/backend.c ${cpu_network} LABELS cpu)
target_link_libraries(test_cpu_backend PRIVATE fs_golden)
# Vectors of 64 bytes are passed between inlined functions only, so no ABI is at stake.
set_source_files_properties(${CMAKE_CURRENT_LIST_DIR}/tier_wide.c PROPERTIES COMPILE_FLAGS "-O2 -Wno-psabi")
fs_criterion_test(test_cpu_chains ${CMAKE_CURRENT_LIST_DIR}/chains.c ${cpu_network} LABELS cpu)
