# The house: rules of the tree, exported symbols, what the library may call, and using an installed copy.
find_program(FASTSCNN_PYTHON3 python3 REQUIRED)
set(house ${FASTSCNN_PYTHON3} -B ${CMAKE_CURRENT_LIST_DIR}/house.py)

foreach(check includes headers text docs files format analysis)
  add_test(NAME house_${check} COMMAND ${house} ${check})
  list(APPEND house_tests house_${check})
endforeach()
add_test(NAME house_exports COMMAND ${house} exports --library $<TARGET_FILE:fastscnn>)
set(library_parts fs_runtime fs_weights fs_cpu fs_host)
if(TARGET fs_cuda_host)
  list(APPEND library_parts fs_cuda_host)
endif()
list(TRANSFORM library_parts REPLACE ".+" "$<TARGET_OBJECTS:\\0>" OUTPUT_VARIABLE library_objects)
add_test(NAME house_calls COMMAND ${house} calls ${library_objects} COMMAND_EXPAND_LISTS)
add_test(NAME house_install COMMAND ${FASTSCNN_PYTHON3} -B ${CMAKE_CURRENT_LIST_DIR}/install.py ${CMAKE_BINARY_DIR}
  ${CMAKE_COMMAND} ${CMAKE_C_COMPILER})
add_test(NAME house_package COMMAND ${FASTSCNN_PYTHON3} -B ${CMAKE_CURRENT_LIST_DIR}/package.py ${CMAKE_BINARY_DIR}
  ${CMAKE_COMMAND} ${CMAKE_CPACK_COMMAND} ${CMAKE_C_COMPILER})
add_test(NAME house_checks_can_fail COMMAND ${FASTSCNN_PYTHON3} -B ${CMAKE_CURRENT_LIST_DIR}/test_house.py)
add_test(NAME house_options COMMAND ${FASTSCNN_PYTHON3} -B ${CMAKE_CURRENT_LIST_DIR}/options.py)
add_test(NAME house_summary COMMAND ${FASTSCNN_PYTHON3} -B ${CMAKE_CURRENT_LIST_DIR}/test_summary.py)
list(APPEND house_tests house_exports house_calls house_install house_package house_options house_checks_can_fail
  house_summary)
set_tests_properties(${house_tests} PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 300 LABELS house)

# The gate for GPU kernels reads what the assembler said while it built them, so they are built first, by the default
# target. Without nvcc there are no reports, and the gate skips.
set(kernels --reports ${CMAKE_BINARY_DIR}/cuda/ptxas)
if(TARGET fs_cuda_kernels)
  set(kernels --reports ${FS_PTXAS_DIR} --objects ${CMAKE_BINARY_DIR}/cuda --nvcc ${FS_NVCC})
endif()
add_test(NAME house_kernels COMMAND ${FASTSCNN_PYTHON3} -B ${CMAKE_CURRENT_LIST_DIR}/kernels.py ${kernels})
add_test(NAME house_kernels_can_fail COMMAND ${FASTSCNN_PYTHON3} -B ${CMAKE_CURRENT_LIST_DIR}/test_kernels.py)
# The page of results says what the recorded files say.
add_test(NAME house_results COMMAND ${FASTSCNN_PYTHON3} -B ${CMAKE_SOURCE_DIR}/bench/gpu/render.py --check)
set_tests_properties(house_kernels house_kernels_can_fail house_results PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 300
  LABELS house)
