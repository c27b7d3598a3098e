# Tests of the Python scripts. test_convert, test_admit and test_peers_table need nothing but Python; the others skip
# where their packages are missing.
find_program(FASTSCNN_PYTHON3 python3 REQUIRED)
foreach(name test_convert test_admit test_export test_peers test_peers_table)
  add_test(NAME ${name} COMMAND ${FASTSCNN_PYTHON3} -B ${CMAKE_CURRENT_LIST_DIR}/${name}.py
    WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES TIMEOUT 300 SKIP_RETURN_CODE 77 LABELS python)
endforeach()
set_tests_properties(test_peers PROPERTIES
  ENVIRONMENT "FASTSCNN_LIBRARY=$<TARGET_FILE:fastscnn>;FASTSCNN_BIN=$<TARGET_FILE:fastscnn_cli>")
# The page's table of peers says what the recorded files say.
add_test(NAME house_peers COMMAND ${FASTSCNN_PYTHON3} -B ${CMAKE_SOURCE_DIR}/bench/peers_table.py --check)
set_tests_properties(house_peers PROPERTIES TIMEOUT 60 LABELS house)

# The tests of the recipe and of the comparison with PyTorch take the first Python that has it: Debian's may, where
# another comes first in the path.
find_program(FASTSCNN_TORCH_PYTHON3 python3 PATHS /usr/bin NO_DEFAULT_PATH)
foreach(python ${FASTSCNN_PYTHON3} ${FASTSCNN_TORCH_PYTHON3})
  execute_process(COMMAND ${python} -c "import numpy, PIL, torch" RESULT_VARIABLE missing OUTPUT_QUIET ERROR_QUIET)
  set(torch_python ${python})
  if(missing EQUAL 0)
    break()
  endif()
endforeach()
add_test(NAME test_train COMMAND ${torch_python} -B ${CMAKE_CURRENT_LIST_DIR}/test_train.py
  WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
set_tests_properties(test_train PROPERTIES TIMEOUT 300 SKIP_RETURN_CODE 77 LABELS python
  ENVIRONMENT "FASTSCNN_BIN=$<TARGET_FILE:fastscnn_cli>;OMP_WAIT_POLICY=passive")
add_test(NAME test_torch_compare COMMAND ${torch_python} -B ${CMAKE_CURRENT_LIST_DIR}/test_torch_compare.py)
set_tests_properties(test_torch_compare PROPERTIES TIMEOUT 300 SKIP_RETURN_CODE 77 LABELS python
  ENVIRONMENT "FASTSCNN_LIBRARY=$<TARGET_FILE:fastscnn>;OMP_WAIT_POLICY=passive")
