/* The application that is updated: it has all four freestanding headers in it, whole, so that it is
   of the size and kind of a real one, runs from flash, and says who it is. APP_VERSION is its version;
   from the second on it does something more. */
#include "board.h"

#define DX_IMPLEMENTATION
#include "../../dx_cas.h"
#include "../../dx_hbtp.h"
#include "../../dx_patch.h"
#include "../../dx_teleport.h"

extern const uint8_t image_begin[], image_end[];
extern const uint8_t image_size[], image_entry[]; /* numbers, as addresses */

__attribute__((section(".header"), used)) static const struct {
    uint32_t magic;
    const uint8_t *size;
    uint32_t version;
    const uint8_t *entry;
} header = {APP_MAGIC, image_size, APP_VERSION, image_entry};

static void say(const char *text)
{
    size_t size = 0;
    while (text[size]) size++;
    board_put(text, size);
}

#if APP_VERSION > 1
/* Ask ourselves something, over HBTP, as a peer would. */
static void say_status(void)
{
    uint8_t memory[128];
    dx_hbtp_out out;
    dx_hbtp_frame frame;
    size_t size;
    const uint8_t *bytes;
    (void)dx_hbtp_out_init(&out, memory, sizeof memory);
    (void)dx_hbtp_write_rpc_error(&out, 1, 404, NULL);
    bytes = dx_hbtp_out_data(&out, &size);
    if (dx_hbtp_parse(bytes, size, sizeof memory, &frame) <= 0) return;
    say(", speaks HBTP (");
    say(dx_hbtp_opcode_name(frame.opcode));
    say(")");
}
#endif

int main(void)
{
    char hex[65], digit[2] = {'0' + APP_VERSION, 0};
    dx_cas_id id;
    dx_cas_hash(image_begin, (size_t)(image_end - image_begin), &id);
    dx_cas_id_to_hex(&id, hex);
    hex[16] = 0;
    say("application ");
    say(digit);
    say(" runs from flash, BLAKE3 ");
    say(hex);
#if APP_VERSION > 1
    say_status();
#endif
    say("\n");
    return 0;
}
