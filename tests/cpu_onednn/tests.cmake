# oneDNN's convolutions behind the CPU backend, against golden data and our own kernels.
fs_criterion_test(test_cpu_onednn ${CMAKE_CURRENT_LIST_DIR}/onednn.c LABELS cpu)
target_link_libraries(test_cpu_onednn PRIVATE fs_golden ${CMAKE_DL_LIBS})
# The instruction set is fixed at a process's first use of oneDNN: smaller ones need processes of their own.
foreach(isa SSE41 AVX AVX2 AVX512_CORE)
  add_test(NAME test_cpu_onednn_${isa} COMMAND test_cpu_onednn --jobs 2 --timeout 300 "--filter=onednn/every_isa_*"
    WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(test_cpu_onednn_${isa} PROPERTIES ENVIRONMENT ONEDNN_MAX_CPU_ISA=${isa} TIMEOUT 600 LABELS cpu
    FAIL_REGULAR_EXPRESSION LeakSanitizer SKIP_REGULAR_EXPRESSION "Tested: 0 [|] Passing: 0")
endforeach()
