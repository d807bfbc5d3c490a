/* QEMU's RISC-V machine "virt": rv32imac, UART 16550, CFI NOR flash with the Intel command set, two
   16-bit chips side by side: every command goes to both halves of a word. */
#include "board.h"

#define UART ((volatile uint8_t *)0x10000000)
#define OFF (*(volatile uint32_t *)0x100000)
#define NOR 0x22000000u
#define BOTH(command) ((uint32_t)(command) << 16 | (uint32_t)(command))

extern char bss_begin[], bss_end[];
void start(void);
void run(void);
const uint8_t *const board_flash = (const uint8_t *)NOR;

#ifdef BOARD_UPDATER
/* Wait until both chips are ready, then back to reading. Not 0: one of them reports an error. */
static int finish(volatile uint32_t *at)
{
    uint32_t status;
    do status = *at;
    while ((status & BOTH(0x80)) != BOTH(0x80));
    *at = BOTH(0x50);
    *at = BOTH(0xff);
    return (status & BOTH(0x3a)) != 0;
}

int board_erase(uint32_t offset)
{
    volatile uint32_t *at = (volatile uint32_t *)(NOR + offset);
    *at = BOTH(0x20);
    *at = BOTH(0xd0);
    return finish(at);
}

int board_write(uint32_t offset, const void *bytes) /* through the write buffer */
{
    volatile uint32_t *at = (volatile uint32_t *)(NOR + offset);
    const uint8_t *b = bytes;
    for (uint32_t i = 0; i < BOARD_UNIT; i++)
        if ((board_flash[offset + i] & b[i]) != b[i]) return 1; /* it was not erased */
    *at = BOTH(0xe8);
    while ((*at & BOTH(0x80)) != BOTH(0x80)) { }
    *at = BOTH(BOARD_UNIT / 4 - 1); /* 16-bit words of each chip */
    for (uint32_t i = 0; i < BOARD_UNIT / 4; i++, b += 4)
        at[i] = b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
    *at = BOTH(0xd0);
    return finish(at);
}

void board_jump(const uint8_t *entry)
{
    __asm__ volatile(".word 0x0000100f\n la sp, stack_end\n jr %0" /* fence.i */
                     : : "r"(entry) : "memory");
    __builtin_unreachable();
}
#endif

int board_get(void)
{
    return UART[5] & 1 ? UART[0] : -1;
}

void board_put(const void *bytes, size_t size)
{
    const uint8_t *b = bytes;
    while (size--) {
        while (!(UART[5] & 0x20)) { }
        UART[0] = *b++;
    }
}

void board_off(int status)
{
    OFF = status ? (uint32_t)status << 16 | 0x3333 : 0x5555;
    for (;;) { }
}

__attribute__((used)) void run(void)
{
    for (char *b = bss_begin; b < bss_end; b++) *b = 0;
    UART[2] = 1; /* the queue */
    board_off(main());
}

__attribute__((naked, section(".vectors"))) void start(void)
{
    __asm__ volatile("la sp, stack_end\n j run");
}
