farm_test(kernels engine_kernels)
