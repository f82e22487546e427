# The Debian package: `make package` builds it as users get it; cpack in any other build folder, with what is built there.
# Dependencies come from the libraries that the programs are linked with.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME nasfarm)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
# Nobody reads mail there; it is what dpkg needs to see.
set(CPACK_PACKAGE_CONTACT "nasfarm developers <nasfarm@nasfarm.invalid>")
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "systemd | systemd-standalone-sysusers | systemd-sysusers")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "libgvc6")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION "parallel neural architecture search
Controllers propose networks, a broker hands them to workers, workers train
and measure them, and their results stream back, without any barrier, into a
store on disk. Anything may be killed or added at any moment, and a search
that was interrupted goes on exactly where it was.

This package has the three programs, their pages, bash completion, and
systemd units for a farm that stands.")
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA "${here}/debian/postinst;${here}/debian/prerm;${here}/debian/postrm;${made}/conffiles")
file(WRITE ${made}/conffiles "/etc/default/nasfarm-broker\n/etc/default/nasfarm-search\n/etc/default/nasfarm-worker\n")
set(CPACK_STRIP_FILES ON)
set(CPACK_SET_DESTDIR ON) # with its prefix, files land in /etc, too
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_PRE_BUILD_SCRIPTS ${here}/debian.cmake)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
include(CPack)
