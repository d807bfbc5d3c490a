/* ARM MPS2 with AN385: Cortex-M3. The machine in QEMU has no flash, so PSRAM stands for it: it is
   filled at the start from the file nor.img of the host, through semihosting, and every write and
   erase goes to that file as well, in pieces, so that a kill tears them as a power cut would.
   Bits only fall, until a page is erased. */
#include "board.h"

#define UART ((volatile uint32_t *)0x40004000) /* CMSDK APB UART: data, state, control, -, divider */
#define PSRAM 0x21000000u

enum { SYS_OPEN = 1, SYS_WRITE = 5, SYS_READ = 6, SYS_SEEK = 10, SYS_EXIT_EXTENDED = 0x20 };
enum { FLASH_SIZE = BOARD_SLOT_SIZE + BOARD_STAGE_SIZE, PIECE = 64 };

extern char bss_begin[], bss_end[], stack_end[];
void start(void);
const uint8_t *const board_flash = (const uint8_t *)PSRAM;

static int semihosting(int call, const void *argument)
{
    register int r0 __asm__("r0") = call;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

void board_off(int status)
{
    const uint32_t block[2] = {0x20026, (uint32_t)status};
    semihosting(SYS_EXIT_EXTENDED, block);
    for (;;) { }
}

#ifdef BOARD_UPDATER /* an application only reads flash */
static uint8_t *const flash = (uint8_t *)PSRAM;
static int file;

static int save(uint32_t offset, uint32_t size)
{
    for (uint32_t i = 0; i < size; i += PIECE) {
        const uint32_t seek[2] = {(uint32_t)file, offset + i};
        const uint32_t write[3] = {(uint32_t)file, PSRAM + offset + i, PIECE};
        if (semihosting(SYS_SEEK, seek) || semihosting(SYS_WRITE, write)) return 1;
    }
    return 0;
}

int board_erase(uint32_t offset)
{
    for (uint32_t i = 0; i < BOARD_PAGE_SIZE; i++) flash[offset + i] = 0xff;
    return save(offset, BOARD_PAGE_SIZE);
}

int board_write(uint32_t offset, const void *bytes)
{
    const uint8_t *from = bytes;
    for (uint32_t i = 0; i < BOARD_UNIT; i++) {
        flash[offset + i] &= from[i];
        if (flash[offset + i] != from[i]) return 1; /* it was not erased */
    }
    return save(offset, BOARD_UNIT);
}

static void open_flash(void)
{
    static const char name[] = "nor.img";
    const uint32_t name_mode_size[3] = {(uint32_t)name, 3, sizeof name - 1}; /* r+b */
    uint32_t read[3] = {0, PSRAM, FLASH_SIZE};
    file = semihosting(SYS_OPEN, name_mode_size);
    read[0] = (uint32_t)file;
    if (file < 0 || semihosting(SYS_READ, read)) board_off(2);
}

void board_jump(const uint8_t *entry)
{
    __asm__ volatile("mov sp, %0\n bx %1" : : "r"(stack_end), "r"((uint32_t)entry | 1) : "memory");
    __builtin_unreachable();
}
#endif

int board_get(void)
{
    return UART[1] & 2 ? (int)(UART[0] & 255) : -1;
}

void board_put(const void *bytes, size_t size)
{
    const uint8_t *b = bytes;
    while (size--) {
        while (UART[1] & 1) { }
        UART[0] = *b++;
    }
}

static void trap(void)
{
    board_put("trap\n", 5);
    board_off(99);
}

void start(void)
{
    for (char *b = bss_begin; b < bss_end; b++) *b = 0;
    *(volatile uint32_t *)0xe000ed14 |= 8; /* CCR.UNALIGN_TRP */
    UART[4] = 16;
    UART[2] = 3;
#ifdef BOARD_UPDATER
    open_flash();
#endif
    board_off(main());
}

__attribute__((section(".vectors"), used)) static const void *const vectors[] = {
    stack_end, (void *)start, (void *)trap, (void *)trap, (void *)trap, (void *)trap, (void *)trap};
