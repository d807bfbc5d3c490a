/* The size that dx_teleport.h adds to a small program. USE 0: nothing; 1: a flat record written, checked, read; 2: also one
   with a list of records. */
#define DX_TELEPORT_STATIC
#define DX_TELEPORT_NO_NAMES
#define DX_TELEPORT_IMPLEMENTATION
#include "../../../dx_teleport.h"

extern uint8_t flash[], ram[1024]; /* start.c */
int main(void);
#define READING(F, S, ...) F(u32, id) F(i16, value) S(unit)
DX_TELEPORT_DEFINE(reading, READING)
#if USE == 2
#define REPORT(F, S, A, L, E, V, N, R, ...) F(u32, time_s) S(station) R(reading, 1, readings)
DX_TELEPORT_DEFINE(report, REPORT)
static size_t write_report(void)
{
    size_t size = 0;
    report_writer w;
    reading_writer x;
    report_begin(&w, ram, sizeof ram, 0);
    report_put_station(&w, "roof", 4);
    report_add_readings(&w, 2);
    report_begin_readings(&w, 0, &x);
    reading_set_value(&x, 7);
    report_end_readings(&w, &x);
    (void)report_finish(&w, &size);
    return size;
}
#endif

int main(void)
{
    size_t size = 0;
#if USE > 0
    reading_writer w;
    reading_view v;
    reading_begin(&w, ram, sizeof ram, 0);
    reading_set_id(&w, 9);
    reading_set_value(&w, -3);
    reading_put_unit(&w, "C", 1);
    if (reading_finish(&w, &size) || reading_open(&v, ram, size)) return 1;
    flash[0] = (uint8_t)reading_get_value(&v);
#endif
#if USE == 2
    report_view r;
    size = write_report();
    if (report_open(&r, ram, size)) return 2;
    for (size_t i = 0; i < report_count_readings(&r); i++) {
        reading_view one = report_at_readings(&r, (uint32_t)i);
        flash[i] = (uint8_t)reading_get_value(&one);
    }
#endif
    return (int)size;
}
