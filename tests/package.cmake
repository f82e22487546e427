# As it is installed: pages and completion, systemd's opinion, the Debian package. A judge that is not here is said, and skipped.
add_test(NAME pages COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/pages.sh $<TARGET_FILE:nasfarm> $<TARGET_FILE:nasfarm-broker>
    $<TARGET_FILE:nasfarm-worker> ${CMAKE_BINARY_DIR}/docker/package)
add_test(NAME package COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/package.sh ${CMAKE_BINARY_DIR})
set_tests_properties(pages package PROPERTIES TIMEOUT 600 SKIP_RETURN_CODE 77)

# On a system of its own, in a container with systemd; a program with sanitizers in it is nobody's to install.
set(package_installed ${CMAKE_CURRENT_SOURCE_DIR}/package_installed.sh ${CMAKE_BINARY_DIR})
if(NOT NASFARM_SANITIZE)
    add_test(NAME package_installed COMMAND ${package_installed})
    set_tests_properties(package_installed PROPERTIES TIMEOUT 600 SKIP_RETURN_CODE 77)
endif()
add_custom_target(soak_package_installed USES_TERMINAL VERBATIM
    COMMAND sh -c "\"$1\" \"$2\" || [ $? -eq 77 ]" soak ${package_installed})
add_dependencies(soak_package_installed pages)
add_dependencies(soak soak_package_installed)
