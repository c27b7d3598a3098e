# The public API: answers and misuse, running out of memory, and what a frame may not do.
set(api ${CMAKE_CURRENT_LIST_DIR})
fs_criterion_test(test_api ${api}/api.c ${CMAKE_SOURCE_DIR}/tests/weights/files.c)
fs_criterion_test(test_api_oom ${api}/oom.c ${CMAKE_SOURCE_DIR}/tests/weights/files.c)
