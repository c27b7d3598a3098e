# Kernel tests: every family on the CPU (SIMT layer and simulated runtime), and on the GPU where nvcc made the kernels.
if(FS_CUDA_INCLUDE_DIR)

# fs_simulated_device(TARGET KERNELS): what stands for GPU, driver and runtime. The simulated runtime finds the layer
# by weak names, so the linker is told to take it in.
function(fs_simulated_device target kernels)
  add_library(${target} INTERFACE)
  target_link_libraries(${target} INTERFACE ${kernels} fs_cudart_sim)
  target_link_options(${target} INTERFACE LINKER:-u,simt_launch)
endfunction()

# fs_family_program(NAME OBJECTS LIBRARIES...): OBJECTS is a library of the family's one object, compiled once for all.
function(fs_family_program name objects)
  add_executable(${name} $<TARGET_OBJECTS:${objects}> $<TARGET_OBJECTS:fs_cuda_check>)
  target_link_libraries(${name} PRIVATE fs_flags fastscnn_internal ${ARGN})
endfunction()

# fs_family_test(NAME PROGRAM SCHEDULE SEED)
function(fs_family_test name program schedule seed)
  set(environment SIMT_SCHEDULE=${schedule} SIMT_SEED=${seed} FS_CUDART_SEED=${seed})
  # All cases once, under the schedule that finds more; elsewhere some cases of nearly every test.
  if(FASTSCNN_SANITIZE OR program MATCHES race OR schedule STREQUAL "round-robin")
    list(APPEND environment FS_TEST_QUICK=1)
  endif()
  add_test(NAME ${name} COMMAND ${program})
  set_tests_properties(${name} PROPERTIES LABELS simt TIMEOUT 600 COST 50 ENVIRONMENT "${environment}")
endfunction()

# At the end of tests/: the other folders' lists have been read by then.
function(fs_kernel_tests)
  set(folder ${CMAKE_CURRENT_FUNCTION_LIST_DIR})
  file(GLOB kernels CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/cuda/kernels/*.cu)
  file(GLOB families CONFIGURE_DEPENDS ${folder}/*.cpp)
  list(REMOVE_ITEM families ${folder}/check.cpp)

  add_library(fs_cuda_check OBJECT ${folder}/check.cpp)
  target_link_libraries(fs_cuda_check PRIVATE fs_flags)
  target_include_directories(fs_cuda_check SYSTEM PRIVATE ${FS_CUDA_INCLUDE_DIR})

  set_target_properties(fs_simt PROPERTIES CXX_VISIBILITY_PRESET default) # the runtime looks it up in the program
  fs_simt_kernels(simt_kernels ${kernels})
  fs_simulated_device(fs_simulated simt_kernels)
  if(FS_SIMT_RACE)
    set_target_properties(fs_simt_race PROPERTIES CXX_VISIBILITY_PRESET default)
    fs_simt_kernels(simt_kernels_race ${kernels} RACE)
    fs_simulated_device(fs_simulated_race simt_kernels_race)
  endif()

  foreach(source ${families})
    get_filename_component(family ${source} NAME_WE)
    add_library(family_${family} OBJECT ${source})
    target_link_libraries(family_${family} PRIVATE fs_flags fastscnn_internal)
    target_include_directories(family_${family} SYSTEM PRIVATE ${FS_CUDA_INCLUDE_DIR})
    fs_family_program(simt_${family} family_${family} fs_simulated)
    if(NOT FASTSCNN_SANITIZE) # what a sanitizer finds, it finds under the more hostile schedule
      fs_family_test(simt_${family} simt_${family} round-robin 1)
    endif()
    fs_family_test(simt_${family}_skewed simt_${family} skewed 2)
    if(FS_SIMT_RACE)
      fs_family_program(simt_race_${family} family_${family} fs_simulated_race)
      fs_family_test(simt_race_${family} simt_race_${family} round-robin 3)
    endif()
    if(TARGET fs_cuda_kernels)
      fs_family_program(gpu_${family} family_${family} fs_cuda_kernels)
      add_test(NAME gpu_${family} COMMAND gpu_${family})
      set_tests_properties(gpu_${family} PROPERTIES LABELS gpu SKIP_RETURN_CODE 77 TIMEOUT 600 RESOURCE_LOCK gpu)
    endif()
  endforeach()
endfunction()
cmake_language(DEFER CALL fs_kernel_tests)

endif()
