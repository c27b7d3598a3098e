# Tests of the weights folder: container, binding, folding, formula.
fs_criterion_test(test_weights
  ${CMAKE_CURRENT_LIST_DIR}/files.c ${CMAKE_CURRENT_LIST_DIR}/container.c ${CMAKE_CURRENT_LIST_DIR}/binding.c
  ${CMAKE_CURRENT_LIST_DIR}/metadata.c ${CMAKE_CURRENT_LIST_DIR}/numbers.c ${CMAKE_CURRENT_LIST_DIR}/formula.c
  ${CMAKE_CURRENT_LIST_DIR}/memory.c ${CMAKE_CURRENT_LIST_DIR}/shared.c ${CMAKE_CURRENT_LIST_DIR}/int8.c)
