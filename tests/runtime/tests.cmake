# The network as a graph, fusion, memory plan, costs and printing; byte counts of frames.
fs_criterion_test(test_graph ${CMAKE_CURRENT_LIST_DIR}/graph.c)
fs_criterion_test(test_resample ${CMAKE_CURRENT_LIST_DIR}/resample.c)
fs_criterion_test(test_fuse ${CMAKE_CURRENT_LIST_DIR}/fuse.c)
fs_criterion_test(test_memory_plan ${CMAKE_CURRENT_LIST_DIR}/memory_plan.c)
fs_criterion_test(test_cost ${CMAKE_CURRENT_LIST_DIR}/cost.c)
fs_criterion_test(test_plan_print ${CMAKE_CURRENT_LIST_DIR}/plan_print.c)
fs_criterion_test(test_ranges ${CMAKE_CURRENT_LIST_DIR}/ranges.c)
