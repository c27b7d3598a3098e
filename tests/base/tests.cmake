# Tests of the base services and of the model configuration.
fs_criterion_test(test_base
  ${CMAKE_CURRENT_LIST_DIR}/status.c ${CMAKE_CURRENT_LIST_DIR}/mem.c ${CMAKE_CURRENT_LIST_DIR}/log.c
  ${CMAKE_CURRENT_LIST_DIR}/text.c ${CMAKE_CURRENT_LIST_DIR}/model.c
  ${CMAKE_CURRENT_LIST_DIR}/writer.c)
