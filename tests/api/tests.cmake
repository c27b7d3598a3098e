# The public API: answers and misuse, running out of memory, and what a frame may not do.
set(api ${CMAKE_CURRENT_LIST_DIR})
fs_criterion_test(test_api ${api}/api.c ${CMAKE_SOURCE_DIR}/tests/weights/files.c)
fs_criterion_test(test_api_outputs ${api}/outputs.c)
fs_criterion_test(test_api_overlay ${api}/overlay.c ${CMAKE_SOURCE_DIR}/tests/weights/files.c)
fs_criterion_test(test_api_profile ${api}/profile.c)
fs_criterion_test(test_api_oom ${api}/oom.c ${CMAKE_SOURCE_DIR}/tests/weights/files.c)
fs_criterion_test(test_api_int8 ${api}/int8.c ${CMAKE_SOURCE_DIR}/tests/weights/files.c)
fs_criterion_test(test_api_struct_size ${api}/struct_size.c)

fs_program_test(test_api_soak ${api}/soak.c LABELS slow threads)
fs_program_test(test_api_async ${api}/async.c LABELS threads)
fs_program_test(test_api_misuse ${api}/misuse.c)
fs_program_test(test_api_shared_weights ${api}/shared_weights.c LABELS threads)
if(FASTSCNN_SANITIZE MATCHES "thread") # the tier whose code the race detector sees
  set_tests_properties(test_api_soak test_api_async test_api_shared_weights PROPERTIES ENVIRONMENT FASTSCNN_CPU_ISA=sse)
endif()

# The shared library as an application has it; the program's own malloc and the like must be seen from there.
add_executable(test_api_frame_path ${api}/frame_path.c)
target_link_libraries(test_api_frame_path PRIVATE fastscnn fs_flags Threads::Threads ${CMAKE_DL_LIBS})
set_target_properties(test_api_frame_path PROPERTIES ENABLE_EXPORTS ON)
target_compile_options(test_api_frame_path PRIVATE -fno-builtin -fvisibility=default)
add_test(NAME test_api_frame_path COMMAND test_api_frame_path)
set_tests_properties(test_api_frame_path PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 600 RUN_SERIAL ON LABELS slow)
