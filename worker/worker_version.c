#include "worker_version.h"

#include <cblas.h>
#include <jansson.h>
#include <zstd.h>

#include "kernels.h"
#include "monitor.h"
#include "version.h"

int worker_version(const char *format)
{
    const struct version_fact libraries[] = {{"libmicrohttpd", monitor_library_version()},
                                             {"jansson", jansson_version_str()},
                                             {"zstd", ZSTD_versionString()},
                                             {NULL, NULL}};
    const struct version_fact facts[] = {{"blas", kernels_library()},
                                         {"blas_config", openblas_get_config()},
                                         {"kernels", kernels_get()->isa},
                                         {"kernels_built", kernels_built()},
                                         {NULL, NULL}};

    return version_main(&(struct version){"nasfarm-worker", libraries, facts}, format);
}
