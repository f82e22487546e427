# As it is installed: pages and completion, systemd's opinion, the Debian package. A judge that is not here is said, and skipped.
add_test(NAME pages COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/pages.sh $<TARGET_FILE:nasfarm> $<TARGET_FILE:nasfarm-broker>
    $<TARGET_FILE:nasfarm-worker> ${CMAKE_BINARY_DIR}/docker/package)
add_test(NAME package COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/package.sh ${CMAKE_BINARY_DIR})
set_tests_properties(pages package PROPERTIES TIMEOUT 600 SKIP_RETURN_CODE 77)
