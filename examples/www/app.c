/* The application that the page loads: it draws a picture for a time. APP_VERSION is its version. It
   has the four freestanding headers in it, whole, to be of the size and kind of a real one. */
#include <stddef.h>
#include <stdint.h>

#define DX_IMPLEMENTATION
#include "../../dx_cas.h"
#include "../../dx_hbtp.h"
#include "../../dx_patch.h"
#include "../../dx_teleport.h"
#include "../memory.c"

#define EXPORT(name) __attribute__((export_name(#name))) name

enum { WIDTH = 320, HEIGHT = 200 };
static uint32_t pixels[WIDTH * HEIGHT]; /* RGBA, as a canvas wants them */

/* A wave of period 256, -255..255: two parabolas. */
static int wave(int x)
{
    int y = x & 127, v = 255 * y * (128 - y) / 4096;
    return x & 128 ? -v : v;
}

static uint32_t colour(int v)
{
#if APP_VERSION > 1
    int red = 128 + wave(v / 2) / 2, green = 110 + wave(v / 2 + 60) / 3, blue = 150 + wave(v / 3 + 140) / 3;
#else
    int red = 40 + wave(v / 3) / 8, green = 128 + wave(v / 2) / 2, blue = 150 + wave(v / 2 + 80) / 3;
#endif
    return 0xff000000u | (uint32_t)(blue & 255) << 16 | (uint32_t)(green & 255) << 8 | (uint32_t)(red & 255);
}

#if APP_VERSION > 1
/* New in version 2: a ring that goes round. */
static int ring(int x, int y, int t)
{
    int dx = x - WIDTH / 2 - wave(t) / 4, dy = y - HEIGHT / 2 - wave(t + 64) / 6, d = dx * dx + dy * dy;
    return d > 900 && d < 1600 ? 220 : 0;
}
#endif

/* WIDTH x HEIGHT pixels for the time t in ms. */
const uint32_t *EXPORT(draw)(uint32_t t_ms)
{
    int t = (int)(t_ms / 16 & 0xffff);
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++) {
            int v = wave(x + t) + wave(2 * y - t) + wave((x + y) / 2 + 2 * t);
#if APP_VERSION > 1
            v += ring(x, y, t);
#endif
            pixels[y * WIDTH + x] = colour(v);
        }
    return pixels;
}

uint32_t EXPORT(version)(void) { return APP_VERSION; }
