/* The functions that updater and application need from a board. Flash is memory-mapped at board_flash:
   the slot of the application, then the stage for a received patch, in pages of BOARD_PAGE_SIZE bytes. */
#ifndef BOARD_H
#define BOARD_H
#include <stddef.h>
#include <stdint.h>

#if defined(__arm__) /* MPS2 AN385, Cortex-M3: board_mps2.c */
enum { BOARD_UNIT = 256, BOARD_PAGE_SIZE = 4096, BOARD_SLOT_SIZE = 512 * 1024,
       BOARD_STAGE_SIZE = 256 * 1024,
       SETTINGS_OFFSET = 512 * 1024, SETTINGS_BLOCKS = 16 };
#elif defined(__riscv) /* virt, rv32imac, CFI NOR flash: board_virt.c */
enum { BOARD_UNIT = 256, BOARD_PAGE_SIZE = 256 * 1024, BOARD_SLOT_SIZE = 4 * 256 * 1024,
       BOARD_STAGE_SIZE = 2 * 256 * 1024,
       SETTINGS_OFFSET = 2048 * 1024, SETTINGS_BLOCKS = 8 };
#endif

extern const uint8_t *const board_flash; /* BOARD_SLOT_SIZE + BOARD_STAGE_SIZE bytes */

/* The next byte of the UART; -1: no byte is waiting. */
int board_get(void);
void board_put(const void *bytes, size_t size);
/* A page becomes 0xff. offset: bytes from board_flash, on a page. Not 0: the flash failed. */
int board_erase(uint32_t offset);
/* BOARD_UNIT bytes, on a multiple of it, into erased ones. Not 0: the flash failed. */
int board_write(uint32_t offset, const void *bytes);
/* Leave for a program in flash, which gets the stack and all memory. */
void board_jump(const uint8_t *entry);
/* Power off; 0 = all was well. */
void board_off(int status);

/* ../memory.c */
void *memcpy(void *to, const void *from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);

int main(void); /* called with zeroed .bss */

/* The first bytes of an application, little-endian. */
typedef struct app_header {
    uint32_t magic; /* APP_MAGIC */
    uint32_t size;  /* bytes of the whole image, this header included */
    uint32_t version;
    uint32_t entry; /* bytes from the header to the first instruction */
} app_header;
#define APP_MAGIC 0x50415844u /* "DXAP" */
#endif
