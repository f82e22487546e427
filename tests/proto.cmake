farm_test(graph)
farm_test(wire)
farm_test(task)
farm_test(rng)
