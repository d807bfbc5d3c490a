/* Common to all small programs: memory, and the functions that compilers call. */
#include <stddef.h>
#include <stdint.h>

#include "../../../examples/memory.c"

volatile uint8_t flash[65536], ram[1024];
int main(void);
void start(void);

void start(void)
{
    for (;;) flash[0] = (uint8_t)(ram[0] + main());
}
