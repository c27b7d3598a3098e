# Tests of the Python scripts. test_convert needs nothing but Python; the others skip where their packages are missing.
find_program(FASTSCNN_PYTHON3 python3 REQUIRED)
foreach(name test_convert test_export test_train)
  add_test(NAME ${name} COMMAND ${FASTSCNN_PYTHON3} -B ${CMAKE_CURRENT_LIST_DIR}/${name}.py
    WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES TIMEOUT 300 SKIP_RETURN_CODE 77 LABELS python)
endforeach()
set_tests_properties(test_train PROPERTIES ENVIRONMENT FASTSCNN_BIN=$<TARGET_FILE:fastscnn_cli>)
