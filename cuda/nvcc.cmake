# Runs one compilation and keeps what the compiler says in LOG; shows it only when the compilation fails or warns.
execute_process(COMMAND ${COMMAND} RESULT_VARIABLE result OUTPUT_VARIABLE said ERROR_VARIABLE said)
file(WRITE ${LOG} "${said}")
if(NOT result EQUAL 0 OR said MATCHES "warning")
  message("${said}")
endif()
if(NOT result EQUAL 0)
  message(FATAL_ERROR "nvcc failed")
endif()
