# cuDNN's door: plans by the real library without a GPU, and whole runs on a stand-in over the simulated CUDA runtime.
if(FS_CUDA_INCLUDE_DIR AND FS_CUDNN_INCLUDE_DIR)

set(folder ${CMAKE_CURRENT_LIST_DIR})
add_library(fs_cudnn_flags INTERFACE)
target_compile_definitions(fs_cudnn_flags INTERFACE FS_HAVE_CUDNN)
target_include_directories(fs_cudnn_flags SYSTEM INTERFACE ${FS_CUDA_INCLUDE_DIR} ${FS_CUDNN_INCLUDE_DIR})
target_link_libraries(fs_cudnn_flags INTERFACE fs_flags ${CMAKE_DL_LIBS} Threads::Threads)

# FASTSCNN_CUDNN=lib/libfs_cudnn_standin.so makes cuda/cudnn.c take it.
file(GLOB standin_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/cuda_sim/cudnn_standin*.cpp)
add_library(fs_cudnn_standin SHARED ${standin_sources})
target_link_libraries(fs_cudnn_standin PRIVATE fs_cudnn_flags fs_cudart_sim)
set_target_properties(fs_cudnn_standin PROPERTIES CXX_VISIBILITY_PRESET default)

# Reads cuda/cudnn.c in, to look behind its interface. Skips without cuDNN.
fs_program_test(cudnn_plans ${folder}/plans.c ${CMAKE_SOURCE_DIR}/cuda/cudnn_library.c LABELS cudnn)
target_link_libraries(cudnn_plans PRIVATE fs_cudnn_flags)

add_executable(cudnn_standin ${folder}/standin.cpp ${CMAKE_SOURCE_DIR}/cuda/cudnn.c
  ${CMAKE_SOURCE_DIR}/cuda/cudnn_library.c $<TARGET_OBJECTS:fs_cuda_check>)
target_link_libraries(cudnn_standin PRIVATE fs_cudnn_flags fastscnn_internal fs_cudnn_standin fs_cudart_sim)
target_compile_definitions(cudnn_standin PRIVATE FS_CUDNN_STANDIN="$<TARGET_FILE:fs_cudnn_standin>")
add_test(NAME cudnn_standin COMMAND cudnn_standin)
set_tests_properties(cudnn_standin PROPERTIES LABELS "cudnn;simt;threads" TIMEOUT 300)
add_dependencies(threaded_tests cudnn_standin)

endif()
