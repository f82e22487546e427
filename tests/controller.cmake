farm_test(farm_loop farm_loop pthread)
farm_test(text text)
