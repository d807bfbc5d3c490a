/* Build from the repository root:  cc -O2 -o hello_teleport examples/hello/hello_teleport.c

   A sensor packs a reading into 84 bytes of a buffer on its stack; a reader looks at it where it
   lies, at an odd address, without unpacking; one number is changed in place; and a reader that
   knows only the first version of the schema still understands the second. */
#define DX_IMPLEMENTATION
#include "../../dx_teleport.h"

#include <stdio.h>
#include <string.h>

#define READING_1(F, S, A, L, ...) F(u64, id) S(station) F(f32, voltage) L(i16, samples)
#define READING(F, S, A, L, E, V, ...)                             \
    F(u64, id) S(station) F(f32, voltage) L(i16, samples)          \
    V(2) E(u8, quality, 3) F(bool, calibrated)

DX_TELEPORT_DEFINE(reading, READING)
DX_TELEPORT_FROZEN(reading, READING, 1, READING_1) /* an incompatible edit does not compile */
DX_TELEPORT_DEFINE(old_reading, READING_1)         /* what a device in the field was built with */

static size_t pack(void *buf, size_t capacity)
{
    static const int16_t samples[] = {-3, 0, 250, 1000};
    size_t size = 0;
    reading_writer w;
    reading_begin(&w, buf, capacity, DX_TELEPORT_CRC);
    reading_set_id(&w, 42);
    reading_put_station(&w, "Z\xc3\xbcrich", 7);
    reading_set_voltage(&w, 3.25f);
    reading_put_samples(&w, samples, 4);
    reading_set_quality(&w, 2);
    reading_set_calibrated(&w, true);
    return reading_finish(&w, &size) ? 0 : size; /* the writer keeps its first error */
}

static int show(const void *bytes, size_t size)
{
    reading_view v;
    const int error = reading_open(&v, bytes, size);
    if (error) {
        printf("refused: %s in %s at byte %u\n", dx_teleport_error_name(error),
               reading_fault(&v)->field, (unsigned)reading_fault(&v)->offset);
        return error;
    }
    const dx_teleport_string station = reading_get_station(&v);
    printf("%u from %.*s: %.2f V, quality %u, samples", (unsigned)reading_get_id(&v),
           (int)station.size, station.data, (double)reading_get_voltage(&v),
           (unsigned)reading_get_quality(&v));
    for (size_t i = 0; i < reading_count_samples(&v); i++)
        printf(" %d", reading_at_samples(&v, i));
    printf("\n");
    return 0;
}

int main(void)
{
    uint8_t buf[128];
    uint8_t *bytes = buf + 1; /* any address will do */
    reading_writer edit;
    old_reading_view old;
    const size_t size = pack(bytes, sizeof buf - 1);
    if (!size) return 1;
    printf("%u bytes, predicted %u\n", (unsigned)size,
           (unsigned)reading_size(DX_TELEPORT_CRC, 7, 4));
    if (show(bytes, size)) return 1;

    if (reading_edit(&edit, bytes, size)) return 1;
    reading_set_voltage(&edit, 3.5f);
    if (reading_finish(&edit, NULL)) return 1;
    if (show(bytes, size)) return 1;

    if (old_reading_open(&old, bytes, size)) return 1;
    printf("an old reader: %u, %u samples\n", (unsigned)old_reading_get_id(&old),
           (unsigned)old_reading_count_samples(&old));

    bytes[40] ^= 4;
    return show(bytes, size) == DX_TELEPORT_ECHECKSUM ? 0 : 1;
}
