/* Code size of a record on a small machine: PARTS 0 none, 1 a flat one, 2 also an order with items. */
#define DX_TELEPORT_STATIC
#define DX_TELEPORT_IMPLEMENTATION
#include "../dx_teleport.h"

void *memcpy(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);

/* Both are in any program. */
__attribute__((used)) void *memcpy(void *to, const void *from, size_t size)
{
    for (size_t i = 0; i < size; i++) ((uint8_t *)to)[i] = ((const uint8_t *)from)[i];
    return to;
}

__attribute__((used)) void *memset(void *to, int byte, size_t size)
{
    for (size_t i = 0; i < size; i++) ((uint8_t *)to)[i] = (uint8_t)byte;
    return to;
}

#ifdef BYTES /* text as bytes of any value, which nobody checks */
  #define TEXT_AT(at) (buf + (at))
  #define USER_NAME_SIZE user_count_name(&v)
  #define USER(F, S, A, L, ...) F(u64, id) L(u8, name) F(u8, age) F(bool, active)
  #define ITEM(F, S, A, L, ...) F(u64, id) L(u8, sku) F(u32, quantity)
  #define ORDER(F, S, A, L, E, V, N, R, ...) F(u64, id) L(u8, title) R(item, 1, items)
#else
  #define TEXT_AT(at) ((const char *)buf + (at))
  #define USER_NAME_SIZE user_get_name(&v).size
  #define USER(F, S, ...) F(u64, id) S(name) F(u8, age) F(bool, active)
  #define ITEM(F, S, ...) F(u64, id) S(sku) F(u32, quantity)
  #define ORDER(F, S, A, L, E, V, N, R, ...) F(u64, id) S(title) R(item, 1, items)
#endif
DX_TELEPORT_DEFINE(user, USER)
DX_TELEPORT_DEFINE(item, ITEM)
DX_TELEPORT_DEFINE(order, ORDER)

uint8_t buf[512];
volatile uint32_t sink;

static void flat(void)
{
    user_writer w;
    user_view v;
    size_t size = 0;
    user_begin(&w, buf, sizeof buf, DX_TELEPORT_BARE);
    user_set_id(&w, sink);
    user_put_name(&w, TEXT_AT(256), sink);
    user_set_age(&w, (uint8_t)sink);
    if (user_finish(&w, &size) || user_open_bare(&v, buf, size, 0)) return;
    sink = (uint32_t)user_get_id(&v) + user_get_age(&v) + (uint32_t)USER_NAME_SIZE;
}

static void nested(void)
{
    order_writer w;
    order_view v;
    size_t size = 0;
    order_begin(&w, buf, sizeof buf, DX_TELEPORT_BARE);
    order_set_id(&w, sink);
    order_put_title(&w, TEXT_AT(256), sink);
    order_add_items(&w, sink);
    for (uint32_t i = 0; i < sink; i++) {
        item_writer item;
        order_begin_items(&w, i, &item);
        item_set_id(&item, i);
        item_put_sku(&item, TEXT_AT(300), sink);
        item_set_quantity(&item, i);
        order_end_items(&w, &item);
    }
    if (order_finish(&w, &size) || order_open_bare(&v, buf, size, 0)) return;
    for (size_t i = 0; i < order_count_items(&v); i++) {
        const item_view e = order_at_items(&v, i);
        sink += item_get_quantity(&e) + (uint32_t)item_get_id(&e);
    }
}

int main(void)
{
    memset(buf, (int)sink, sizeof buf);
    memcpy(buf + sink, buf + 1, sink);
    if (PARTS > 0) flat();
    if (PARTS > 1) nested();
    return (int)sink;
}
