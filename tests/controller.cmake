farm_test(farm_loop farm_loop pthread)
