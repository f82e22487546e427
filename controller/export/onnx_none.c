/* onnx_none.c - in the place of onnx.c where ONNX's schema was not there when nasfarm was built. */
#include "export.h"

int export_onnx(const struct graph *self, struct weights *weights,
                const struct export_onnx_about *about, uint8_t **bytes, size_t *len,
                struct why *why)
{
    (void)self, (void)weights, (void)about, (void)bytes;
    *len = 0;
    return why_set(why, FARM_ENOTFOUND,
                   "this nasfarm was built without ONNX's schema: 'apt install libonnx-dev', and "
                   "build it again");
}

bool export_has_onnx(void)
{
    return false;
}
