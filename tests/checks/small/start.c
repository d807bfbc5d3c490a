/* What every small program has: memory, and the functions that compilers call. */
#include <stddef.h>
#include <stdint.h>

volatile uint8_t flash[65536], ram[1024];
int main(void);
void start(void);
void *memcpy(void *to, const void *from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);

void *memcpy(void *to, const void *from, size_t size)
{
    char *t = to;
    const char *f = from;
    while (size--) *t++ = *f++;
    return to;
}
void *memmove(void *to, const void *from, size_t size)
{
    char *t = to;
    const char *f = from;
    if (t <= f) return memcpy(to, from, size);
    while (size--) t[size] = f[size];
    return to;
}
void *memset(void *to, int byte, size_t size)
{
    char *t = to;
    while (size--) *t++ = (char)byte;
    return to;
}
int memcmp(const void *a, const void *b, size_t size)
{
    const unsigned char *x = a, *y = b;
    for (; size; size--, x++, y++)
        if (*x != *y) return *x - *y;
    return 0;
}
void start(void)
{
    for (;;) flash[0] = (uint8_t)(ram[0] + main());
}
