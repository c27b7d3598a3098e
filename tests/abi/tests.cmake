# The binary interface: the library's dump against the committed baseline, and that the comparison can fail.
find_program(FASTSCNN_PYTHON3 python3 REQUIRED)
set(abi ${FASTSCNN_PYTHON3} -B ${CMAKE_CURRENT_LIST_DIR}/abi.py)
add_test(NAME abi_baseline COMMAND ${abi} check $<TARGET_FILE:fastscnn>)
add_test(NAME abi_check_can_fail COMMAND ${FASTSCNN_PYTHON3} -B ${CMAKE_CURRENT_LIST_DIR}/test_abi.py
  ${CMAKE_C_COMPILER})
set_tests_properties(abi_baseline abi_check_can_fail PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 300 LABELS house)
add_custom_target(refresh_abi COMMAND ${abi} refresh $<TARGET_FILE:fastscnn> VERBATIM
  COMMENT "Writing the baseline of the binary interface")
add_dependencies(refresh_abi fastscnn)
