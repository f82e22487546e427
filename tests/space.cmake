# What genes mean.
farm_test(space space)
farm_test(nasbench201 space PkgConfig::ZLIB)
target_compile_definitions(test_nasbench201 PRIVATE SHARED_DATA="${CMAKE_SOURCE_DIR}/../shared/data")
farm_test(pairwise space)
farm_test(darts space)
farm_test(nasbench101 space)
farm_test(enas_macro space export)
farm_test(export export PkgConfig::JANSSON)
