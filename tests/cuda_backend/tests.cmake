# The whole CUDA backend on the simulated runtime: as a module under the command, and inside test programs.
if(FS_CUDA_INCLUDE_DIR)

# fs_backend_program(NAME LIBRARIES...): NAME.cpp and the helpers, with the backend's host code linked in.
function(fs_backend_program name source)
  add_executable(${name} ${source} $<TARGET_OBJECTS:fs_cuda_network> $<TARGET_OBJECTS:fs_cuda_host>
    $<TARGET_OBJECTS:fs_cuda_check>)
  target_link_libraries(${name} PRIVATE fs_flags fastscnn_internal fs_golden ${ARGN})
  target_include_directories(${name} SYSTEM PRIVATE ${FS_CUDA_INCLUDE_DIR})
  target_compile_definitions(${name} PRIVATE FS_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
endfunction()

# At the end of tests/: targets of the other folders exist by then.
function(fs_backend_tests)
  set(folder ${CMAKE_CURRENT_FUNCTION_LIST_DIR})
  add_library(fs_cuda_network OBJECT ${folder}/network.cpp)
  target_link_libraries(fs_cuda_network PRIVATE fs_flags fastscnn_internal fs_golden)
  target_include_directories(fs_cuda_network SYSTEM PRIVATE ${FS_CUDA_INCLUDE_DIR})
  set(environment FASTSCNN_TUNING_CACHE=off)
  if(FASTSCNN_SANITIZE)
    list(APPEND environment FS_TEST_QUICK=1)
  endif()
  set(names network_values frames outputs faults ends device cache tactics profile)
  if(FS_NVTX_INCLUDE_DIR)
    list(APPEND names trace)
  endif()
  # The longest is two tests, so that they can run beside each other. Long ones start first: COST.
  set(network_ways "rewrites switched off" "every route computes the network")
  set(arguments_of_network_values --all-but ${network_ways})
  foreach(name ${names})
    fs_backend_program(cuda_sim_${name} ${folder}/${name}.cpp fs_simulated)
    add_test(NAME cuda_sim_${name} COMMAND cuda_sim_${name} ${arguments_of_${name}}
      WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
    list(APPEND tests cuda_sim_${name})
  endforeach()
  add_test(NAME cuda_sim_network_ways COMMAND cuda_sim_network_values ${network_ways}
    WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(${tests} cuda_sim_network_ways PROPERTIES LABELS cuda-sim SKIP_RETURN_CODE 77 TIMEOUT 900
    COST 100 ENVIRONMENT "${environment}")
  # Hundreds of timed launches: minutes under a sanitizer, where frames and network_values run the same code.
  set_tests_properties(cuda_sim_tactics PROPERTIES LABELS "cuda-sim;slow")
  # Sessions are traced by a library that NVTX loads (tests/trace).
  if(FS_NVTX_INCLUDE_DIR)
    add_dependencies(cuda_sim_trace fs_nvtx_recorder)
    target_compile_definitions(cuda_sim_trace PRIVATE FS_RECORDER="$<TARGET_FILE:fs_nvtx_recorder>")
    target_link_libraries(cuda_sim_trace PRIVATE ${CMAKE_DL_LIBS})
  endif()
  if(TARGET fs_cudnn_standin)
    target_link_libraries(cuda_sim_tactics PRIVATE fs_cudnn_standin)
    target_compile_definitions(cuda_sim_tactics PRIVATE FS_CUDNN_STANDIN="$<TARGET_FILE:fs_cudnn_standin>")
  endif()
  if(TARGET fs_cuda_kernels)
    fs_backend_program(gpu_network_values ${folder}/network_values.cpp fs_cuda_kernels)
    fs_backend_program(gpu_frames ${folder}/frames.cpp fs_cuda_kernels)
    foreach(name network_values frames)
      target_compile_definitions(gpu_${name} PRIVATE FS_ON_GPU)
      add_test(NAME gpu_${name} COMMAND gpu_${name} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
      set_tests_properties(gpu_${name} PROPERTIES LABELS gpu SKIP_RETURN_CODE 77 TIMEOUT 900 RESOURCE_LOCK gpu)
    endforeach()
  endif()

  # The same as a module: `FASTSCNN_CUDA_MODULE=build/lib/libfastscnn-cuda-sim.so fastscnn ... --backend cuda`.
  add_library(fastscnn_cuda_sim MODULE $<TARGET_OBJECTS:fs_cuda_host> $<TARGET_OBJECTS:fs_runtime>)
  target_link_libraries(fastscnn_cuda_sim PRIVATE fs_flags fs_simulated m)
  set_target_properties(fastscnn_cuda_sim PROPERTIES OUTPUT_NAME fastscnn-cuda-sim PREFIX lib LINKER_LANGUAGE CXX)
  if(NOT FASTSCNN_SANITIZE)
    # A figure of time: nothing runs beside it.
    add_executable(cuda_sim_submit ${folder}/submit.c)
    target_link_libraries(cuda_sim_submit PRIVATE fastscnn fs_flags)
    add_test(NAME cuda_sim_submit COMMAND cuda_sim_submit)
    set_tests_properties(cuda_sim_submit PROPERTIES LABELS cuda-sim SKIP_RETURN_CODE 77 TIMEOUT 600 RUN_SERIAL ON
      ENVIRONMENT "${environment};FASTSCNN_CUDA_MODULE=$<TARGET_FILE:fastscnn_cuda_sim>;FASTSCNN_CUDNN=/no-cudnn.so")
    # Programs of the public header, over the module.
    foreach(name async misuse)
      add_test(NAME cuda_sim_${name} COMMAND test_api_${name} cuda)
      set_tests_properties(cuda_sim_${name} PROPERTIES LABELS cuda-sim SKIP_RETURN_CODE 77 TIMEOUT 600 ENVIRONMENT
        "${environment};FASTSCNN_CUDA_MODULE=$<TARGET_FILE:fastscnn_cuda_sim>;FASTSCNN_CUDNN=/no-cudnn.so")
    endforeach()
    add_test(NAME cuda_sim_command COMMAND ${FASTSCNN_PYTHON3} -B ${folder}/command.py $<TARGET_FILE:fastscnn_cli>
      $<TARGET_FILE:fastscnn_cuda_sim>)
    set_tests_properties(cuda_sim_command PROPERTIES LABELS cuda-sim SKIP_RETURN_CODE 77 TIMEOUT 600)
  endif()
endfunction()
cmake_language(DEFER CALL fs_backend_tests)

endif()
