# Writes OUT, a header that names the commit of the folder SOURCE: at every build, but the file changes only when the commit does.
#   cmake -DSOURCE=... -DOUT=... [-DREVISION=NAME] -P revision.cmake       NAME: it is known, ask nobody
if(NOT REVISION)
    execute_process(COMMAND git -C ${SOURCE} describe --always --dirty=+changes --abbrev=12 --exclude=*
        OUTPUT_VARIABLE REVISION OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
if(NOT REVISION)
    set(REVISION unknown)
endif()
set(text "#define NASFARM_REVISION \"${REVISION}\"\n")
if(EXISTS ${OUT})
    file(READ ${OUT} before)
endif()
if(NOT text STREQUAL "${before}")
    file(WRITE ${OUT} "${text}")
endif()
