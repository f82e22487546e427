/* text.h - numbers as people read them. It is not: parsing (cli/settings.h). */
#ifndef NASFARM_TEXT_H
#define NASFARM_TEXT_H

#include <stddef.h>
#include <stdint.h>

/* "3.2 s", "0:34", "12:07", "3:05:00", "2d 03:00". Not finite or negative: "?". */
void text_duration(double seconds, char *out, size_t size);
/* 1288506 -> "1,288,506" */
void text_thousands(uint64_t value, char out[28]);
/* 45312 -> "45.3 KB" (thousands) */
void text_bytes(uint64_t value, char out[16]);
/* Standard error of an accuracy measured on n images: sqrt(p(1-p)/n); NaN when n is 0. */
double text_standard_error(double p, uint64_t n);

#endif
