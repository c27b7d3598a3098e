# Reads the golden files for the tests of whatever runs the network.
add_library(fs_golden STATIC ${CMAKE_CURRENT_LIST_DIR}/golden.c)
target_link_libraries(fs_golden PUBLIC fastscnn_internal)
target_compile_definitions(fs_golden PRIVATE FS_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
