# The command: its parts alone, and the built program as a script would use it.
fs_criterion_test(test_cli_units ${CMAKE_CURRENT_LIST_DIR}/units.c ${CMAKE_SOURCE_DIR}/host/cli/options.c
  ${CMAKE_SOURCE_DIR}/host/cli/stats.c ${CMAKE_SOURCE_DIR}/host/cli/progress.c ${CMAKE_SOURCE_DIR}/host/cli/resample.c
  ${CMAKE_SOURCE_DIR}/host/cli/plot.c)
fs_criterion_test(test_cli ${CMAKE_CURRENT_LIST_DIR}/cli.c)
add_dependencies(test_cli fastscnn_cli)
find_program(FASTSCNN_PYTHON3 python3 REQUIRED)
add_test(NAME test_cli_profile COMMAND ${FASTSCNN_PYTHON3} -B ${CMAKE_CURRENT_LIST_DIR}/profile.py
  $<TARGET_FILE:fastscnn_cli>)
add_test(NAME test_cli_video COMMAND ${FASTSCNN_PYTHON3} -B ${CMAKE_CURRENT_LIST_DIR}/video.py
  $<TARGET_FILE:fastscnn_cli>)
set_tests_properties(test_cli_profile test_cli_video PROPERTIES TIMEOUT 300)
