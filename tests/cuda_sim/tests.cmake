# The simulated CUDA runtime, a shared library with the symbols of libcudart, and its tests.
if(FS_CUDA_INCLUDE_DIR)

file(GLOB cudart_sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/cudart*.cpp)
add_library(fs_cudart_sim SHARED ${cudart_sources})
target_link_libraries(fs_cudart_sim PRIVATE fs_flags Threads::Threads)
target_include_directories(fs_cudart_sim SYSTEM PUBLIC ${FS_CUDA_INCLUDE_DIR})
set_target_properties(fs_cudart_sim PROPERTIES CXX_VISIBILITY_PRESET default)

# It calls the SIMT layer by weak names: this one brings its own in place of the layer.
add_executable(cuda_simulator ${CMAKE_CURRENT_LIST_DIR}/simulator.cpp ${CMAKE_CURRENT_LIST_DIR}/simulator_graphs.cpp
  ${CMAKE_CURRENT_LIST_DIR}/../cuda/check.cpp)
target_link_libraries(cuda_simulator PRIVATE fs_flags fs_cudart_sim Threads::Threads)
set_target_properties(cuda_simulator PROPERTIES CXX_VISIBILITY_PRESET default)
add_test(NAME cuda_simulator COMMAND cuda_simulator)
set_tests_properties(cuda_simulator PROPERTIES LABELS "simt;threads" TIMEOUT 120)
add_dependencies(threaded_tests cuda_simulator)

endif()
