/* worker_version.h - what this worker computes with: its libraries, OpenBLAS, the kernels that this processor gets. */
#ifndef NASFARM_WORKER_VERSION_H
#define NASFARM_WORKER_VERSION_H

/* All of --version[=json]; see version_main(). */
int worker_version(const char *format);

#endif
