/* The messages between host and device, on top of docs/formats/hbtp.md. Integers are little-endian. */
#ifndef PROTOCOL_H
#define PROTOCOL_H

enum {
    PROTOCOL_CHUNK = 1024,                          /* bytes of the patch in a FileChunk */
    PROTOCOL_FRAME_MAX = 8 + 16 + PROTOCOL_CHUNK,   /* bytes of the longest frame to the device */
    PROTOCOL_INFO_SIZE = 56
};

/* Methods of RpcCall. A FileChunk (EXPECTS_RESPONSE) is answered by an RpcResponse with the offset
   of the next one as u32; the last chunk, when the patch has been applied, as PROTOCOL_INFO. */
enum {
    PROTOCOL_INFO = 1,  /* -> page u32, slot u32, longest patch u32, result of the last patch i32,
                           version u32, size of the application u32, its BLAKE3-256 */
    PROTOCOL_BEGIN = 2, /* u32: bytes of the patch that follows in FileChunks -> nothing */
    PROTOCOL_RUN = 3    /* -> nothing; then the UART belongs to the application */
};

/* settings.c: a name has its size before it, as u8. */
enum {
    SETTINGS_NAME_MAX = 32, SETTINGS_VALUE_MAX = 512, SETTINGS_STATS_SIZE = 20,
    SETTINGS_SET = 1,   /* name, value -> nothing, when it is durable */
    SETTINGS_GET = 2,   /* name -> value */
    SETTINGS_STATS = 3  /* -> damaged places, collections, most erases of a block, mean times 100, records; each u32 */
};
#endif
