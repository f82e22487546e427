# The farm as a whole: real processes.
add_library(farm_kit STATIC farm_kit.c)
target_include_directories(farm_kit PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
target_link_libraries(farm_kit PUBLIC farm_proto)
set(farm_programs
    BIN_BROKER="$<TARGET_FILE:nasfarm-broker>"
    BIN_WORKER="$<TARGET_FILE:nasfarm-worker>"
    BIN_NASFARM="$<TARGET_FILE:nasfarm>")

farm_test(quota farm_kit)
add_library(witness_kit STATIC witness_kit.c)
target_include_directories(witness_kit PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
target_link_libraries(witness_kit PUBLIC farm_proto PRIVATE store synthetic data PkgConfig::CHECK)
farm_test(kill farm_kit witness_kit)
target_compile_definitions(test_kill PRIVATE ${farm_programs})
add_dependencies(test_kill nasfarm nasfarm-broker nasfarm-worker)
set_tests_properties(kill PROPERTIES TIMEOUT 240 RUN_SERIAL ON)

add_executable(test_kill_every test_kill_every.c)
target_link_libraries(test_kill_every PRIVATE farm_kit search scheduler space)
target_compile_definitions(test_kill_every PRIVATE ${farm_programs})
add_dependencies(test_kill_every nasfarm nasfarm-broker nasfarm-worker)
add_test(NAME kill_every COMMAND test_kill_every)
set_tests_properties(kill_every PROPERTIES TIMEOUT 240)

# A broker with keys, and who stands at its door.
add_library(door_kit STATIC door_kit.c work_kit.c)
target_link_libraries(door_kit PUBLIC farm_kit PkgConfig::CHECK)
target_compile_definitions(door_kit PRIVATE ${farm_programs})
add_dependencies(door_kit nasfarm-broker)
farm_test(keys door_kit)
farm_test(hostile door_kit)
set_tests_properties(hostile PROPERTIES RUN_SERIAL ON TIMEOUT 300)
# Evaluations that fail in every way, and workers that lie.
add_executable(trouble_evaluator trouble_evaluator.c)
farm_test(troubles farm_kit store)
target_compile_definitions(test_troubles PRIVATE ${farm_programs} BIN_TROUBLE="$<TARGET_FILE:trouble_evaluator>")
add_dependencies(test_troubles nasfarm nasfarm-broker nasfarm-worker trouble_evaluator)
set_tests_properties(troubles PROPERTIES TIMEOUT 240 RUN_SERIAL ON)

add_executable(bench_crowd bench/bench_crowd.c)
target_link_libraries(bench_crowd PRIVATE farm_kit)
target_compile_definitions(bench_crowd PRIVATE ${farm_programs})
add_dependencies(bench_crowd nasfarm-broker)

# `make soak`: the same, for longer.
farm_soak(kill test_kill ${CMAKE_COMMAND} -E env NASFARM_KILLS=1000 $<TARGET_FILE:test_kill>)
farm_soak(troubles test_troubles ${CMAKE_COMMAND} -E env NASFARM_TASKS=1000 $<TARGET_FILE:test_troubles>)
farm_soak(strangers test_keys ${CMAKE_COMMAND} -E env NASFARM_STRANGERS=10000 $<TARGET_FILE:test_keys>)
farm_soak(nasbench101 test_nasbench101 ${CMAKE_COMMAND} -E env NASFARM_VERTICES=7 $<TARGET_FILE:test_nasbench101>)
farm_soak(simulation test_simulation $<TARGET_FILE:test_simulation> --seeds 100000)
farm_soak(kill_every test_kill_every $<TARGET_FILE:test_kill_every> --all)
farm_soak(steady bench_overhead $<TARGET_FILE:bench_overhead> steady 10)
farm_soak(resume bench_overhead $<TARGET_FILE:bench_overhead> resume 1000000)
farm_soak(hostile test_hostile ${CMAKE_COMMAND} -E env NASFARM_HOSTILE_STREAMS=1000000 NASFARM_HOSTILE_HALF_OPEN=50
    NASFARM_HOSTILE_FLOOD_S=30
    $<TARGET_FILE:test_hostile>)
farm_soak(half_open test_hostile ${CMAKE_COMMAND} -E env NASFARM_HOSTILE_STREAMS=5000 NASFARM_HOSTILE_HALF_OPEN=10000
    CK_RUN_CASE=strangers $<TARGET_FILE:test_hostile>)
farm_soak(crowd bench_crowd $<TARGET_FILE:bench_crowd> 10000 10)

# `make bench`
add_executable(bench_overhead bench/bench_overhead.c)
target_link_libraries(bench_overhead PRIVATE farm_kit experiment store m)
target_compile_definitions(bench_overhead PRIVATE ${farm_programs})
add_dependencies(bench_overhead nasfarm nasfarm-broker nasfarm-worker)
add_custom_target(bench
    COMMAND $<TARGET_FILE:bench_overhead>
    COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/bench/evolution_vs_random.sh $<TARGET_FILE:nasfarm>
    COMMAND $<TARGET_FILE:bench_kernels>
    COMMAND $<TARGET_FILE:bench_train>
    COMMAND $<TARGET_FILE:bench_decode>
    COMMAND $<TARGET_FILE:bench_constraint>
    DEPENDS bench_overhead bench_kernels bench_train bench_decode bench_constraint nasfarm nasfarm-broker nasfarm-worker USES_TERMINAL)

# `make bench-torch`: the same networks here and in PyTorch. What is trained is the farm's own, so it knows every room.
add_library(bench_nets STATIC bench/bench_nets.c)
target_include_directories(bench_nets PUBLIC bench)
target_link_libraries(bench_nets PUBLIC farm_proto PRIVATE space)
farm_test(bench_nets bench_nets)
farm_test(predicted_memory bench_nets space engine)
farm_test(spaces_train space evaluate)
add_library(net_kit STATIC net_kit.c)
target_include_directories(net_kit PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
target_link_libraries(net_kit PUBLIC engine)
farm_test(graph_fold bench_nets space net_kit)
if(ONNX_PROTO_DIR) # the judges are Python's; without one of them the test is skipped, and says so
    farm_test(onnx export net_kit onnx_generated)
    target_link_options(test_onnx PRIVATE -Wl,--wrap=malloc,--wrap=calloc) # memory ends where it likes
    add_executable(onnx_cases onnx_cases.c)
    target_link_libraries(onnx_cases PRIVATE export net_kit)
    add_executable(run_logits run_logits.c)
    target_link_libraries(run_logits PRIVATE farm_cli experiment evaluate m)
    add_test(NAME onnx_logits COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/onnx.sh $<TARGET_FILE:nasfarm>
        $<TARGET_FILE:onnx_cases> $<TARGET_FILE:run_logits>)
    set_tests_properties(onnx_logits PROPERTIES TIMEOUT 240 SKIP_RETURN_CODE 77)
endif()
add_executable(proxies_nb201 bench/proxies_nb201.c)
target_link_libraries(proxies_nb201 PRIVATE space simulate score evaluate m)
add_executable(train_step bench/train_step.c bench/peak.c)
target_link_libraries(train_step PRIVATE bench_nets evaluate graph_json m)
add_custom_target(bench-torch
    COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/bench/train_vs_torch.py --all --train-step $<TARGET_FILE:train_step>
    DEPENDS train_step USES_TERMINAL)

# The farm as people use it.
farm_test(farm farm_kit store monitor PkgConfig::JANSSON)
target_compile_definitions(test_farm PRIVATE ${farm_programs})
add_dependencies(test_farm nasfarm nasfarm-broker nasfarm-worker)
set_tests_properties(farm PROPERTIES TIMEOUT 240 RUN_SERIAL ON)

# As Prometheus sees it; skipped, and said so, where there is none.
add_test(NAME prometheus COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/prometheus.sh
    $<TARGET_FILE:nasfarm> $<TARGET_FILE:nasfarm-broker> $<TARGET_FILE:nasfarm-worker>)
set_tests_properties(prometheus PROPERTIES TIMEOUT 180 SKIP_RETURN_CODE 77)

# On a Slurm cluster, likewise.
add_test(NAME slurm COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/slurm.sh
    $<TARGET_FILE:nasfarm> $<TARGET_FILE:nasfarm-broker> $<TARGET_FILE:nasfarm-worker>)
set_tests_properties(slurm PROPERTIES TIMEOUT 600 SKIP_RETURN_CODE 77)

# In containers: of one host, and as a stack of a Docker Swarm. Other checkouts have other images.
string(MD5 checkout ${PROJECT_SOURCE_DIR})
string(SUBSTRING ${checkout} 0 8 checkout)
set(in_containers ${CMAKE_COMMAND} -E env NASFARM_TEST_IMAGE=nasfarm-test-${checkout})
add_test(NAME docker_image COMMAND ${in_containers} ${CMAKE_CURRENT_SOURCE_DIR}/docker.sh image ${PROJECT_SOURCE_DIR})
set_tests_properties(docker_image PROPERTIES TIMEOUT 1200 SKIP_RETURN_CODE 77 FIXTURES_SETUP image)
add_test(NAME docker COMMAND ${in_containers} ${CMAKE_CURRENT_SOURCE_DIR}/docker.sh farm ${PROJECT_SOURCE_DIR})
set_tests_properties(docker PROPERTIES TIMEOUT 600 SKIP_RETURN_CODE 77 FIXTURES_REQUIRED image RUN_SERIAL ON)
add_test(NAME swarm COMMAND ${in_containers} ${CMAKE_CURRENT_SOURCE_DIR}/swarm.sh ${PROJECT_SOURCE_DIR})
set_tests_properties(swarm PROPERTIES TIMEOUT 1500 SKIP_RETURN_CODE 77 FIXTURES_REQUIRED image)
add_custom_target(soak_docker USES_TERMINAL VERBATIM
    COMMAND ${in_containers} NASFARM_DOCKER_KILLS=30
        sh -c "\"$1\" image \"$2\" && \"$1\" farm \"$2\" || [ $? -eq 77 ]" soak ${CMAKE_CURRENT_SOURCE_DIR}/docker.sh ${PROJECT_SOURCE_DIR})
add_dependencies(soak soak_docker)

# For Kubernetes: what can be checked without one.
add_test(NAME kubernetes COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/kubernetes.sh $<TARGET_FILE:nasfarm> ${PROJECT_SOURCE_DIR})
set_tests_properties(kubernetes PROPERTIES TIMEOUT 120 SKIP_RETURN_CODE 77)

# System calls of the real programs fail; what does it is preloaded into them, and so never sanitized.
add_library(nasfarm_fault SHARED fault_kit.c fault_clock.c)
if(NOT NASFARM_SANITIZE)
    target_sources(nasfarm_fault PRIVATE fault_memory.c)
endif()
target_compile_options(nasfarm_fault PRIVATE -fno-sanitize=all)
target_link_options(nasfarm_fault PRIVATE -fno-sanitize=all)
set_target_properties(nasfarm_fault PROPERTIES C_VISIBILITY_PRESET default)
add_executable(test_faults test_faults.c)
target_link_libraries(test_faults PRIVATE witness_kit farm_kit experiment store PkgConfig::CHECK m)
target_compile_definitions(test_faults PRIVATE ${farm_programs} LIB_FAULT="$<TARGET_FILE:nasfarm_fault>")
add_dependencies(test_faults nasfarm nasfarm-broker nasfarm_fault)
add_test(NAME faults COMMAND test_faults)
set_tests_properties(faults PROPERTIES TIMEOUT 240)
farm_soak(faults test_faults ${CMAKE_COMMAND} -E env CK_RUN_CASE=kill NASFARM_FAULT_STEP=1 NASFARM_FAULT_FARMS=8
    NASFARM_FAULT_TRIALS=120 $<TARGET_FILE:test_faults>)
farm_soak(faults_random test_faults ${CMAKE_COMMAND} -E env CK_RUN_CASE=random NASFARM_FAULT_KILLS=1000
    NASFARM_FAULT_TRIALS=120 $<TARGET_FILE:test_faults>)
farm_soak(faults_memory test_faults ${CMAKE_COMMAND} -E env CK_RUN_CASE=memory NASFARM_FAULT_MEMORY=1
    $<TARGET_FILE:test_faults>)
farm_soak(full_disk test_faults ${CMAKE_COMMAND} -E env CK_RUN_CASE=full NASFARM_FAULT_POINTS=100
    $<TARGET_FILE:test_faults>)

# A whole farm at work, while one thing goes wrong all the time.
add_executable(test_live test_live.c live_kit.c lan_kit.c)
target_link_libraries(test_live PRIVATE witness_kit farm_kit store farm_proto PkgConfig::CHECK m)
target_compile_definitions(test_live PRIVATE ${farm_programs} LIB_FAULT="$<TARGET_FILE:nasfarm_fault>")
add_dependencies(test_live nasfarm nasfarm-broker nasfarm-worker nasfarm_fault)
add_test(NAME live COMMAND test_live)
set_tests_properties(live PROPERTIES TIMEOUT 600 RUN_SERIAL ON)
farm_soak(live test_live ${CMAKE_COMMAND} -E env NASFARM_LIVE_TASKS=5000 NASFARM_LIVE_BROKERS=200 NASFARM_LIVE_ROUNDS=10
    NASFARM_LIVE_RESUME_MS=5000 $<TARGET_FILE:test_live>)

# A store is damaged, killed, refused by its disk and left by the power. fault_kit stands in front of the C library.
add_executable(test_care test_care.c search_kit.c fault_kit.c)
target_link_libraries(test_care PRIVATE experiment store farm_kit farm_proto PkgConfig::CHECK m)
add_test(NAME care COMMAND test_care)
set_tests_properties(care PROPERTIES TIMEOUT 240 RUN_SERIAL ON)
farm_soak(power test_care ${CMAKE_COMMAND} -E env CK_RUN_CASE=power NASFARM_CARE_TRIALS=60 NASFARM_CARE_ORDERS=10000
    $<TARGET_FILE:test_care>)
