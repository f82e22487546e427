# The farm as a whole, in one thread under a virtual clock. What is tested knows every room, as no program does.
set(simulation_sources test_simulation.c simulation/world.c simulation/plan.c simulation/net.c simulation/history.c)

# simulation(NAME SOURCES...) builds it, with sources in the place of those that the libraries have.
function(simulation name)
    add_executable(${name} ${simulation_sources} ${ARGN})
    target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR}/controller ${CMAKE_SOURCE_DIR}/broker)
    target_link_libraries(${name} PRIVATE farm_loop experiment supervisor broker farm_proto PkgConfig::SODIUM m)
    target_link_options(${name} PRIVATE -Wl,--wrap=store_commit)
endfunction()

# planted(NAME FILE FROM TO EXPECTED) builds test_simulation_NAME with one bug: in FILE, TO instead of FROM, which must be there once.
# Some seed of the first thousand must find it, and say so in a sentence that begins with EXPECTED.
function(planted name file from to expected)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${file})
    file(READ ${CMAKE_SOURCE_DIR}/${file} text)
    string(REPLACE "${from}" "${to}" bug "${text}")
    string(LENGTH "${text}" before)
    string(LENGTH "${bug}" after)
    string(LENGTH "${from}" length_from)
    string(LENGTH "${to}" length_to)
    math(EXPR once "${before} - ${length_from} + ${length_to}")
    if(NOT after EQUAL once OR bug STREQUAL text)
        message(FATAL_ERROR "tests/simulation.cmake: ${file} does not have, exactly once:\n${from}")
    endif()
    file(CONFIGURE OUTPUT planted/${name}.c CONTENT "${bug}" @ONLY)
    simulation(test_simulation_${name} ${CMAKE_CURRENT_BINARY_DIR}/planted/${name}.c)
    add_test(NAME simulation_finds_${name}
        COMMAND test_simulation_${name} --seeds 1000 --expect ${expected})
    set_tests_properties(simulation_finds_${name} PROPERTIES TIMEOUT 240)
endfunction()

simulation(test_simulation)
add_test(NAME simulation COMMAND test_simulation --seeds 2000)
set_tests_properties(simulation PROPERTIES TIMEOUT 240)

planted(unfenced_lease broker/ledger.c
    "if (task->worker == worker && task->lease == list->leases[i].lease)" "if (worker != NULL)" fenced:)
planted(early_acknowledgement controller/farm.c
    "rc = commit(self, now, why);"
    "self->n_durable = self->n_acks, acknowledge(self), rc = commit(self, now, why);" durable:)
planted(lost_wakeup controller/farm.c
    "self->exhausted = self->waiting = false;" "self->exhausted = false;" alive:)
planted(lost_training controller/farm.c
    "zmq_msg_copy(&message.blob, &task->blob);" "zmq_msg_init(&message.blob);" resumed:)
