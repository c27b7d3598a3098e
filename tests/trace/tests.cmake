# What profilers see: a library that NVTX loads writes it down. The CPU's ranges here, the GPU's in tests/cuda_backend.
set(trace ${CMAKE_CURRENT_LIST_DIR})
if(FS_NVTX_INCLUDE_DIR)
  add_library(fs_nvtx_recorder MODULE ${trace}/recorder.c)
  target_link_libraries(fs_nvtx_recorder PRIVATE fs_flags Threads::Threads)
  target_include_directories(fs_nvtx_recorder SYSTEM PRIVATE ${FS_NVTX_INCLUDE_DIR})
endif()

fs_program_test(test_trace_cpu ${trace}/cpu.c LABELS cpu threads)
if(TARGET fs_nvtx_recorder)
  add_dependencies(test_trace_cpu fs_nvtx_recorder)
  target_compile_definitions(test_trace_cpu PRIVATE FS_RECORDER="$<TARGET_FILE:fs_nvtx_recorder>")
endif()
if(FASTSCNN_SANITIZE MATCHES "thread") # the tier whose code the race detector sees
  set_tests_properties(test_trace_cpu PROPERTIES ENVIRONMENT FASTSCNN_CPU_ISA=sse)
endif()
