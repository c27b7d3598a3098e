# Tests of the public API: what it promises, misuse, out of memory, and the shared library's frame path.
set(api ${CMAKE_CURRENT_LIST_DIR})

# Over the shared library, as an application has it; its own malloc and locks must be the ones that the library finds.
add_executable(test_api_frame_path ${api}/frame_path.c)
target_link_libraries(test_api_frame_path PRIVATE fastscnn fs_flags Threads::Threads ${CMAKE_DL_LIBS})
set_target_properties(test_api_frame_path PROPERTIES ENABLE_EXPORTS ON)
target_compile_options(test_api_frame_path PRIVATE -fno-builtin)
add_test(NAME test_api_frame_path COMMAND test_api_frame_path WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
set_tests_properties(test_api_frame_path PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 600 RUN_SERIAL ON)

foreach(name api oom)
  fs_criterion_test(test_${name} ${api}/${name}.c ${CMAKE_SOURCE_DIR}/tests/weights/files.c)
endforeach()
