# What Debian wants of a package's tree beyond an installation: changelog, copyright, compressed pages. Run by cpack between
# staging and building.
get_filename_component(debian ${CMAKE_CURRENT_LIST_DIR}/debian ABSOLUTE)
set(doc ${CPACK_TEMPORARY_INSTALL_DIRECTORY}/usr/share/doc/nasfarm)
file(COPY ${debian}/copyright DESTINATION ${doc} FILE_PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
file(COPY ${debian}/changelog DESTINATION ${doc} FILE_PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
file(GLOB pages ${CPACK_TEMPORARY_INSTALL_DIRECTORY}/usr/share/man/man1/*.1)
execute_process(COMMAND gzip -9nf ${doc}/changelog ${pages} COMMAND_ERROR_IS_FATAL ANY) # -n: no time in it
