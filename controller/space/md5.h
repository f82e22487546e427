/* md5.h - RFC 1321, because NAS-Bench-101 names its models by it.
 * It is not: safe against anybody; nothing else here should use it (digest_of() names content).
 */
#ifndef NASFARM_MD5_H
#define NASFARM_MD5_H

#include <stddef.h>
#include <stdint.h>

#define MD5_HEX 32

/* 32 lower-case hexadecimal digits and a NUL. */
void md5_hex(const void *bytes, size_t len, char out[MD5_HEX + 1]);

#endif
