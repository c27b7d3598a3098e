# The house: rules of the tree, exported symbols, what the library may call, and using an installed copy.
find_program(FASTSCNN_PYTHON3 python3 REQUIRED)
set(house ${FASTSCNN_PYTHON3} -B ${CMAKE_CURRENT_LIST_DIR}/house.py)

foreach(check includes headers text docs files format analysis)
  add_test(NAME house_${check} COMMAND ${house} ${check})
  list(APPEND house_tests house_${check})
endforeach()
add_test(NAME house_exports COMMAND ${house} exports --library $<TARGET_FILE:fastscnn>)
add_test(NAME house_calls COMMAND ${house} calls $<TARGET_OBJECTS:fs_runtime> $<TARGET_OBJECTS:fs_weights>
  $<TARGET_OBJECTS:fs_cpu> $<TARGET_OBJECTS:fs_host> COMMAND_EXPAND_LISTS)
add_test(NAME house_install COMMAND ${FASTSCNN_PYTHON3} -B ${CMAKE_CURRENT_LIST_DIR}/install.py ${CMAKE_BINARY_DIR}
  ${CMAKE_COMMAND} ${CMAKE_C_COMPILER})
add_test(NAME house_checks_can_fail COMMAND ${FASTSCNN_PYTHON3} -B ${CMAKE_CURRENT_LIST_DIR}/test_house.py)
add_test(NAME house_summary COMMAND ${FASTSCNN_PYTHON3} -B ${CMAKE_CURRENT_LIST_DIR}/test_summary.py)
list(APPEND house_tests house_exports house_calls house_install house_checks_can_fail house_summary)
set_tests_properties(${house_tests} PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 300 LABELS house)
