/*  dx_sample.h - v0.1.0 - a small header that passes every gate; selftest.sh breaks copies of it

    QUICK EXAMPLE

        dx_sample s;
        if (dx_sample_init(&s, 3) != DX_SAMPLE_OK) return 1;

    CONTENTS (search >>)  config types api shared public license
*/
#ifndef DX_SAMPLE_H
#define DX_SAMPLE_H

#define DX_SAMPLE_VERSION 0x000100 /* 0xMMmmpp */

#include <stddef.h>
#include <stdint.h>

/* >>config ------------------------------------------------------------- */
#ifndef DX_SAMPLE_API
  #ifdef DX_SAMPLE_STATIC
    #if defined(__GNUC__) || defined(__clang__)
      #define DX_SAMPLE_API static __attribute__((unused))
    #else
      #define DX_SAMPLE_API static
    #endif
  #else
    #define DX_SAMPLE_API extern
  #endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* >>types -------------------------------------------------------------- */
typedef enum dx_sample_error {
    DX_SAMPLE_OK = 0,
    DX_SAMPLE_EINVAL = -1,
    DX_SAMPLE_ENOMEM = -2,
    DX_SAMPLE_ENOSPACE = -3,
    DX_SAMPLE_ETOOBIG = -4,
    DX_SAMPLE_ECORRUPT = -5,
    DX_SAMPLE_EAGAIN = -6,
    DX_SAMPLE_ESYS = -7,
    DX_SAMPLE_ENOTSUP = -8,
    DX_SAMPLE_ENOTFOUND = -9,
    DX_SAMPLE_ECANCELED = -10,
    DX_SAMPLE_ETRUNCATED = -11,
    DX_SAMPLE_EVERSION = -12
} dx_sample_error;

typedef struct dx_sample {
    uint32_t value_;
} dx_sample;

/* >>api ---------------------------------------------------------------- */
DX_SAMPLE_API int         dx_sample_init(dx_sample *s, uint32_t value);
DX_SAMPLE_API const char *dx_sample_error_name(int error);

#ifdef __cplusplus
}
#endif
#endif /* DX_SAMPLE_H */

#if (defined(DX_SAMPLE_IMPLEMENTATION) || defined(DX_IMPLEMENTATION)) && \
    !defined(DX_SAMPLE_IMPLEMENTED)
#define DX_SAMPLE_IMPLEMENTED

/* >>shared ------------------------------------------------------------- */
static void dx_sample_p_store16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v & 0xff);
    p[1] = (uint8_t)(v >> 8);
}

/* >>public ------------------------------------------------------------- */
DX_SAMPLE_API int dx_sample_init(dx_sample *s, uint32_t value)
{
    uint8_t bytes[2];
    if (!s) return DX_SAMPLE_EINVAL;
    dx_sample_p_store16(bytes, (uint16_t)(value & 0xffff));
    s->value_ = (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8;
    return DX_SAMPLE_OK;
}

DX_SAMPLE_API const char *dx_sample_error_name(int error)
{
    static const char *const names[] = {
        "DX_SAMPLE_OK",        "DX_SAMPLE_EINVAL",   "DX_SAMPLE_ENOMEM",   "DX_SAMPLE_ENOSPACE",
        "DX_SAMPLE_ETOOBIG",   "DX_SAMPLE_ECORRUPT", "DX_SAMPLE_EAGAIN",   "DX_SAMPLE_ESYS",
        "DX_SAMPLE_ENOTSUP",   "DX_SAMPLE_ENOTFOUND", "DX_SAMPLE_ECANCELED",
        "DX_SAMPLE_ETRUNCATED", "DX_SAMPLE_EVERSION"};
    return error <= 0 && error >= -12 ? names[-error] : "unknown error";
}
#endif /* DX_SAMPLE_IMPLEMENTATION */

/* >>license -------------------------------------------------------------
   As every header: Copyright (c) dx authors. Permission is hereby granted ...
   THE SOFTWARE IS PROVIDED "AS IS" ... or released into the public domain.
*/
