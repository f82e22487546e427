farm_test(worker synthetic PkgConfig::JANSSON)
target_compile_definitions(test_worker PRIVATE BIN_WORKER="$<TARGET_FILE:nasfarm-worker>")
add_dependencies(test_worker nasfarm-worker)
farm_test(tabular tabular bench_rows)
