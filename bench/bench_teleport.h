/* The records that bench_teleport.cc writes, as plain structs, and what bench_teleport_nanopb.c makes of them. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Text { const char *data; uint32_t size; } Text;
typedef struct RawUser { uint64_t id; Text name; uint8_t age; bool active; } RawUser;
typedef struct RawItem { uint64_t id; Text sku; uint32_t quantity; double price; double size[4]; } RawItem;
typedef struct RawOrder { uint64_t id, customer, time; Text title, note; RawItem items[20]; double stats[16]; } RawOrder;

#ifdef __cplusplus
extern "C" {
#endif
void nanopb_fill(const RawUser *user, const RawOrder *order); /* into the structs of nanopb */
size_t nanopb_put_user(uint8_t *out, size_t capacity);
size_t nanopb_put_order(uint8_t *out, size_t capacity);
double nanopb_read_order(const uint8_t *bytes, size_t size);
#ifdef __cplusplus
}
#endif
