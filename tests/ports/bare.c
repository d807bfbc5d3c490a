/* A bare machine: start-up, memory functions, output of one letter, and exit with a status.
   Cortex-M3 (mps2-an385; unaligned access traps) and 32-bit RISC-V (virt), both in QEMU; in
   WebAssembly only the memory functions. Links with a program that has vectors(). */
#include <stddef.h>
#include <stdint.h>

#include "../../examples/memory.c"

int vectors(void);
void say(char letter);
void start(void);

#if defined(__arm__)
extern char bss_begin[], bss_end[], stack_end[];

static int semihosting(int call, const void *argument)
{
    register int r0 __asm__("r0") = call;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static void end(uint32_t reason, uint32_t status)
{
    const uint32_t block[2] = {reason, status};
    semihosting(0x20, block); /* SYS_EXIT_EXTENDED */
    for (;;) { }
}

void say(char letter)
{
    semihosting(0x03, &letter); /* SYS_WRITEC */
}

static void trap(void)
{
    const char *text = "TRAP\n";
    while (*text) say(*text++);
    end(0x20026, 99);
}

void start(void)
{
    memset(bss_begin, 0, (size_t)(bss_end - bss_begin));
    *(volatile uint32_t *)0xe000ed14 |= 8; /* CCR.UNALIGN_TRP */
    end(0x20026, (uint32_t)vectors());
}

__attribute__((section(".vectors"), used)) static const void *const table[] = {
    stack_end, (void *)start, (void *)trap, (void *)trap, (void *)trap, (void *)trap, (void *)trap};
#elif defined(__riscv)
extern char bss_begin[], bss_end[];

void say(char letter)
{
    *(volatile uint8_t *)0x10000000 = (uint8_t)letter; /* the UART */
}

__attribute__((used)) static void run(void)
{
    uint32_t status;
    memset(bss_begin, 0, (size_t)(bss_end - bss_begin));
    status = (uint32_t)vectors();
    *(volatile uint32_t *)0x100000 = status ? status << 16 | 0x3333 : 0x5555; /* the test device */
    for (;;) { }
}

__attribute__((naked, section(".vectors"))) void start(void)
{
    __asm__ volatile("la sp, stack_end\n j run");
}
#endif
