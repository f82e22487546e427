# What is proposed next.
add_library(strategy_kit STATIC strategy_kit.c)
target_include_directories(strategy_kit PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
target_link_libraries(strategy_kit PUBLIC search PkgConfig::CHECK)
farm_test(pareto search)
farm_test(reward search)
farm_test(matrix search)
foreach(kind random evolution strategies grid tournament nsga2 local_search tpe reinforce bananas gp
        cmaes)
    farm_test(${kind} strategy_kit)
endforeach()
# How long each trial is trained.
farm_test(schedulers scheduler)
# Searches in virtual time.
farm_test(virtual_farm simulate strategy_kit)
