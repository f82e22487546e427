farm_test(kernels engine_kernels)
farm_test(plan engine)
farm_test(net engine PkgConfig::ZSTD)
# it counts what the engine allocates
target_link_options(test_net PRIVATE -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=aligned_alloc)
farm_test(net_gradients engine)
farm_test(optimizer engine)
add_executable(bench_kernels bench/bench_kernels.c)
target_link_libraries(bench_kernels PRIVATE engine_kernels)
