set(shared_data NASFARM_DATA_DIR="${CMAKE_SOURCE_DIR}/../shared/data")

farm_test(dataset data PkgConfig::ZLIB)
farm_test(batch data)
farm_test(mix data engine)
farm_test(evaluate evaluate)
farm_test(latency evaluate)
farm_test(score score)
farm_test(paused evaluate PkgConfig::ZSTD)

add_executable(bench_train bench/bench_train.c)
target_link_libraries(bench_train PRIVATE evaluate m)
target_compile_definitions(bench_train PRIVATE ${shared_data})
