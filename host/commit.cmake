# Writes OUT with the source's git commit as FS_COMMIT ("-dirty" when tracked files differ), only if that changes it.
# Run at build time: cmake -DSOURCE=folder -DOUT=file.h -P commit.cmake
set(commit "")
# A copy without .git of its own may lie inside another project's repository, whose commit says nothing about it.
if(EXISTS ${SOURCE}/.git)
  find_program(git git)
  if(git)
    set(ENV{GIT_OPTIONAL_LOCKS} 0)
    execute_process(COMMAND ${git} -C ${SOURCE} describe --always --dirty --abbrev=12 --exclude=*
      OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  endif()
endif()
if(commit STREQUAL "")
  set(commit "unknown")
endif()
set(text "// Written by host/commit.cmake: the commit that this build comes from.\n#define FS_COMMIT \"${commit}\"\n")
set(old "")
if(EXISTS ${OUT})
  file(READ ${OUT} old)
endif()
if(NOT text STREQUAL old)
  file(WRITE ${OUT} "${text}")
endif()
