# Tests of the Python scripts. test_convert needs nothing but Python.
find_program(FASTSCNN_PYTHON3 python3 REQUIRED)
add_test(NAME test_convert COMMAND ${FASTSCNN_PYTHON3} -B ${CMAKE_CURRENT_LIST_DIR}/test_convert.py
  WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
set_tests_properties(test_convert PROPERTIES TIMEOUT 300 SKIP_RETURN_CODE 77 LABELS python)
