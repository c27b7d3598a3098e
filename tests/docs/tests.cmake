# The documents: every command and block of code in them, and that the test can fail.
find_program(FASTSCNN_PYTHON3 python3 REQUIRED)
add_test(NAME docs_blocks COMMAND ${FASTSCNN_PYTHON3} -B ${CMAKE_CURRENT_LIST_DIR}/blocks.py ${CMAKE_BINARY_DIR}
  ${CMAKE_C_COMPILER})
add_test(NAME docs_blocks_can_fail COMMAND ${FASTSCNN_PYTHON3} -B ${CMAKE_CURRENT_LIST_DIR}/test_blocks.py)
set_tests_properties(docs_blocks docs_blocks_can_fail PROPERTIES TIMEOUT 600 LABELS house)
