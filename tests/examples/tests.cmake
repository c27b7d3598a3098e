# The examples: compiled with our warnings and sanitizers, run small; and built by a stranger from an installed copy.
find_program(FASTSCNN_PYTHON3 python3 REQUIRED)
set(examples ${CMAKE_SOURCE_DIR}/examples)
set(example_bin ${CMAKE_BINARY_DIR}/bin/examples)
function(fs_example name source)
  add_executable(example_${name} ${source})
  target_link_libraries(example_${name} PRIVATE fastscnn fs_flags Threads::Threads ${ARGN})
  set_target_properties(example_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${example_bin} OUTPUT_NAME ${name})
endfunction()
set(run ${FASTSCNN_PYTHON3} -B ${CMAKE_CURRENT_LIST_DIR}/run.py)
fs_example(label ${examples}/label.c)
fs_example(camera ${examples}/camera.c)
if(CMAKE_CXX_COMPILER)
  fs_example(consumer ${examples}/consumer.cpp)
  add_test(NAME examples COMMAND ${run} ${example_bin})
  add_test(NAME examples_installed COMMAND ${FASTSCNN_PYTHON3} -B ${CMAKE_CURRENT_LIST_DIR}/installed.py
    ${CMAKE_BINARY_DIR} ${CMAKE_COMMAND} ${CMAKE_C_COMPILER} ${CMAKE_CXX_COMPILER})
  set_tests_properties(examples PROPERTIES TIMEOUT 300)
  set_tests_properties(examples_installed PROPERTIES TIMEOUT 300 LABELS house)
endif()

# Python: with nothing but ctypes, and with numpy, which skips where it is missing.
foreach(kind plain numpy)
  add_test(NAME examples_python_${kind} COMMAND ${FASTSCNN_PYTHON3} -B ${CMAKE_CURRENT_LIST_DIR}/test_${kind}.py)
  set_tests_properties(examples_python_${kind} PROPERTIES LABELS python SKIP_RETURN_CODE 77 TIMEOUT 300
    ENVIRONMENT FASTSCNN_LIBRARY=$<TARGET_FILE:fastscnn>)
endforeach()

# On the simulated runtime and, where nvcc is, on the GPU. At the end of tests/: those targets exist by then.
function(fs_device_example)
  if(FS_CUDA_INCLUDE_DIR)
    fs_example(device ${examples}/device.c fs_cudart_sim)
    if(NOT FASTSCNN_SANITIZE)
      add_test(NAME cuda_sim_example COMMAND ${run} ${example_bin} --device --module $<TARGET_FILE:fastscnn_cuda_sim>)
      add_test(NAME cuda_sim_python COMMAND ${FASTSCNN_PYTHON3} -B ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/test_plain.py)
      set_tests_properties(cuda_sim_example cuda_sim_python PROPERTIES LABELS cuda-sim SKIP_RETURN_CODE 77 TIMEOUT 300)
      set(sim FASTSCNN_LIBRARY=$<TARGET_FILE:fastscnn> FASTSCNN_CUDA_MODULE=$<TARGET_FILE:fastscnn_cuda_sim>)
      set_tests_properties(cuda_sim_python PROPERTIES
        ENVIRONMENT "${sim};FASTSCNN_TUNING_CACHE=off;FASTSCNN_CUDNN=/no-cudnn.so;FS_TEST_DEVICE=1")
    endif()
  endif()
  if(FS_CUDA_MODULE)
    fs_example(device_gpu ${examples}/device.c ${FS_CUDART_STATIC} ${CMAKE_DL_LIBS} rt)
    set_target_properties(example_device_gpu PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${example_bin}/gpu OUTPUT_NAME device)
    target_include_directories(example_device_gpu SYSTEM PRIVATE ${FS_CUDA_INCLUDE_DIR})
    add_custom_command(TARGET example_device_gpu POST_BUILD VERBATIM
      COMMAND ${CMAKE_COMMAND} -E create_symlink $<TARGET_FILE:fastscnn_cli> ${example_bin}/gpu/fastscnn
      COMMAND ${CMAKE_COMMAND} -E create_symlink ${example_bin}/label ${example_bin}/gpu/label)
    add_test(NAME gpu_example COMMAND ${run} ${example_bin}/gpu --device --gpu)
    set_tests_properties(gpu_example PROPERTIES LABELS gpu SKIP_RETURN_CODE 77 TIMEOUT 300 RESOURCE_LOCK gpu)
  endif()
endfunction()
cmake_language(DEFER CALL fs_device_example)
