# Writes the man page fastscnn.1 from what the built command says of itself: cmake -DPROGRAM=... -DOUT=... -P man.cmake
function(help_of result)
  execute_process(COMMAND "${PROGRAM}" ${ARGN} OUTPUT_VARIABLE text COMMAND_ERROR_IS_FATAL ANY)
  string(REPLACE "\\" "\\e" text "${text}")
  string(REPLACE "-" "\\-" text "${text}")
  # A dot or a quote at the beginning of a line would be a request.
  string(REGEX REPLACE "(^|\n)([.'])" "\\1\\\\&\\2" text "${text}")
  set(${result} "${text}" PARENT_SCOPE)
endfunction()

execute_process(COMMAND "${PROGRAM}" --version OUTPUT_VARIABLE version COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCH "[0-9]+\\.[0-9]+\\.[0-9]+" version "${version}")
help_of(general --help)
string(CONCAT page ".TH FASTSCNN 1 \"\" \"fastscnn ${version}\" \"User Commands\"\n.SH NAME\n"
  "fastscnn \\- real\\-time semantic segmentation with Fast\\-SCNN\n.SH SYNOPSIS\n.B fastscnn\n"
  ".I VERB\n.RI [ OPTION ]...\n.SH DESCRIPTION\n.nf\n${general}.fi\n")
string(REGEX MATCHALL "\n  [a-z]+ +[a-z]" lines "${general}")
foreach(line IN LISTS lines)
  string(REGEX MATCH "[a-z]+" verb "${line}")
  if(verb STREQUAL "fastscnn")
    continue()
  endif()
  help_of(text ${verb} --help)
  string(TOUPPER "${verb}" title)
  string(APPEND page ".SH \"FASTSCNN ${title}\"\n.nf\n${text}.fi\n")
endforeach()
file(WRITE "${OUT}" "${page}")
