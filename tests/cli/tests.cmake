# The command: its parts alone, and the built program as a script would use it.
fs_criterion_test(test_cli_units ${CMAKE_CURRENT_LIST_DIR}/units.c ${CMAKE_SOURCE_DIR}/host/cli/options.c
  ${CMAKE_SOURCE_DIR}/host/cli/progress.c)
fs_criterion_test(test_cli_measure ${CMAKE_CURRENT_LIST_DIR}/measure.c ${CMAKE_SOURCE_DIR}/host/cli/stats.c
  ${CMAKE_SOURCE_DIR}/host/cli/machine.c ${CMAKE_SOURCE_DIR}/host/cli/tree.c ${CMAKE_SOURCE_DIR}/host/cli/plot.c
  ${CMAKE_SOURCE_DIR}/host/cli/common.c ${CMAKE_SOURCE_DIR}/host/cli/options.c)
fs_criterion_test(test_cli ${CMAKE_CURRENT_LIST_DIR}/cli.c)
add_dependencies(test_cli fastscnn_cli)
find_program(FASTSCNN_PYTHON3 python3 REQUIRED)
add_test(NAME test_cli_profile COMMAND ${FASTSCNN_PYTHON3} -B ${CMAKE_CURRENT_LIST_DIR}/profile.py
  $<TARGET_FILE:fastscnn_cli>)
add_test(NAME test_cli_bench COMMAND ${FASTSCNN_PYTHON3} -B ${CMAKE_CURRENT_LIST_DIR}/bench.py
  $<TARGET_FILE:fastscnn_cli>)
add_test(NAME test_cli_video COMMAND ${FASTSCNN_PYTHON3} -B ${CMAKE_CURRENT_LIST_DIR}/video.py
  $<TARGET_FILE:fastscnn_cli>)
add_test(NAME test_cli_shapes COMMAND ${FASTSCNN_PYTHON3} -B ${CMAKE_CURRENT_LIST_DIR}/shapes.py
  $<TARGET_FILE:fastscnn_cli>)
add_test(NAME test_cli_calibrate COMMAND ${FASTSCNN_PYTHON3} -B ${CMAKE_CURRENT_LIST_DIR}/calibrate.py
  $<TARGET_FILE:fastscnn_cli>)
set_tests_properties(test_cli_profile test_cli_bench test_cli_video test_cli_shapes test_cli_calibrate PROPERTIES
  TIMEOUT 300 SKIP_RETURN_CODE 77)

# Accuracy: the matrix alone, the command against a second computation, and against Cityscapes' own scripts.
fs_criterion_test(test_cli_confusion ${CMAKE_CURRENT_LIST_DIR}/confusion.c ${CMAKE_SOURCE_DIR}/host/cli/confusion.c
  ${CMAKE_SOURCE_DIR}/host/cli/cityscapes.c ${CMAKE_SOURCE_DIR}/host/cli/pairs.c ${CMAKE_SOURCE_DIR}/host/cli/common.c
  ${CMAKE_SOURCE_DIR}/host/cli/options.c)
add_test(NAME test_cli_eval COMMAND ${FASTSCNN_PYTHON3} -B ${CMAKE_CURRENT_LIST_DIR}/eval.py
  $<TARGET_FILE:fastscnn_cli>)
add_test(NAME test_cli_cityscapes COMMAND ${FASTSCNN_PYTHON3} -B ${CMAKE_CURRENT_LIST_DIR}/cityscapes_parity.py
  $<TARGET_FILE:fastscnn_cli>)
add_test(NAME test_cli_camvid COMMAND ${FASTSCNN_PYTHON3} -B ${CMAKE_CURRENT_LIST_DIR}/camvid.py
  $<TARGET_FILE:fastscnn_cli>)
set_tests_properties(test_cli_eval test_cli_cityscapes test_cli_camvid PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 300)
# A data set's worth of frames: minutes under a sanitizer.
set_tests_properties(test_cli_camvid PROPERTIES LABELS slow)
# The page of accuracy says what the recorded files say.
add_test(NAME house_accuracy COMMAND ${FASTSCNN_PYTHON3} -B ${CMAKE_SOURCE_DIR}/bench/accuracy.py --check)
# So does the paper's table.
add_test(NAME house_paper COMMAND ${FASTSCNN_PYTHON3} -B ${CMAKE_SOURCE_DIR}/bench/paper_table.py --check)
set_tests_properties(house_accuracy house_paper PROPERTIES TIMEOUT 60 LABELS house)
