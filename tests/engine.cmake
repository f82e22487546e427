farm_test(kernels engine_kernels)
# its thousands of freed arrays need not be remembered: a leak check would look through them after every test
set_tests_properties(kernels PROPERTIES ENVIRONMENT "ASAN_OPTIONS=quarantine_size_mb=8")
farm_test(kernels_act engine_kernels)
farm_test(plan engine)
farm_test(net engine PkgConfig::ZSTD)
# it counts what the engine allocates
target_link_options(test_net PRIVATE -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=aligned_alloc)
farm_test(net_gradients engine)
farm_test(optimizer engine)
add_executable(bench_kernels bench/bench_kernels.c bench/bench_case.c bench/bench_gemm.c bench/peak.c)
target_link_libraries(bench_kernels PRIVATE engine_kernels PkgConfig::OPENBLAS)
