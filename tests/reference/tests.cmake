# The scalar reference: every operation by hand, the whole network against golden data.
fs_criterion_test(test_reference_ops ${CMAKE_CURRENT_LIST_DIR}/ops.c)
fs_criterion_test(test_reference_run ${CMAKE_CURRENT_LIST_DIR}/run.c)
fs_criterion_test(test_reference_golden ${CMAKE_CURRENT_LIST_DIR}/golden.c)
target_link_libraries(test_reference_golden PRIVATE fs_golden)
