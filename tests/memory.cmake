# Memory ends at the n-th allocation, for each n, in codec, store, and the loops of broker, worker and controller. What is tested
# knows every room, as no program does.
add_executable(test_memory test_memory.c alloc_kit.c search_kit.c
    simulation/world.c simulation/plan.c simulation/net.c simulation/history.c)
target_include_directories(test_memory PRIVATE ${CMAKE_SOURCE_DIR}/controller ${CMAKE_SOURCE_DIR}/broker)
target_link_libraries(test_memory PRIVATE farm_loop experiment supervisor broker farm_kit farm_proto PkgConfig::CHECK
    PkgConfig::SODIUM m)
target_link_options(test_memory PRIVATE -Wl,--wrap=store_commit
    -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=aligned_alloc,--wrap=strdup,--wrap=strndup,--wrap=free)
add_test(NAME memory COMMAND test_memory)
set_tests_properties(memory PROPERTIES TIMEOUT 240)
farm_soak(memory test_memory ${CMAKE_COMMAND} -E env NASFARM_MEMORY_STEP=1 NASFARM_MEMORY_SEEDS=20 $<TARGET_FILE:test_memory>)
