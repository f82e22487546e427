# What is durable, and the search as a fold over it.
farm_test(store store)
farm_test(experiment experiment PkgConfig::LMDB)
farm_test(objectives experiment)
farm_test(promotions experiment)
farm_test(recheck experiment)
add_executable(bench_store bench/bench_store.c)
target_link_libraries(bench_store PRIVATE store m)
