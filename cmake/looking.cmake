# Embeds the script and the style of dump's HTML pages. Sets PUMICE_LOOKING_SOURCES.
set(PUMICE_LOOKING_SOURCES "")
foreach(kind js css)
  set(source ${CMAKE_CURRENT_SOURCE_DIR}/graph/looking.${kind})
  set(object ${CMAKE_CURRENT_BINARY_DIR}/looking_${kind}.c)
  add_custom_command(OUTPUT ${object} DEPENDS ${source} ${CMAKE_CURRENT_SOURCE_DIR}/cmake/embed.cmake
    COMMAND ${CMAKE_COMMAND} -DSRC=${source} -DOUT=${object} -DNAME=pm_looking_${kind} -P ${CMAKE_CURRENT_SOURCE_DIR}/cmake/embed.cmake
    COMMENT "embed looking.${kind}" VERBATIM)
  list(APPEND PUMICE_LOOKING_SOURCES ${object})
endforeach()
