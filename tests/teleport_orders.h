/* Records of a shop for tests of dx_teleport.h and its layers. The includer declares the type `user` first. */
/* Nested records: in place, in lists, in lists of lists; with and without references. */
#define PRICE(F, S, A, L, E, V, N, R, O, ...) F(i64, cents) E(u8, currency, 3) O(u16, discount)
DX_TELEPORT_DEFINE(price, PRICE)
#define TAG(F, S, A, L, E, V, N, R, O, ...) S(key) S(value)
DX_TELEPORT_DEFINE(tag, TAG)
#define ITEM(F, S, A, L, E, V, N, R, O, ...)                                                  \
    F(u8, kind) S(sku) N(price, 1, unit) R(tag, 1, tags) F(u32, quantity) O(f32, weight)
DX_TELEPORT_DEFINE(item, ITEM)
#define ORDER_1(F, S, A, L, E, V, N, R, O, ...)                                               \
    F(u64, id) N(user, 1, buyer) R(item, 1, items) O(bool, gift) R(price, 1, fees) S(note)
#define ORDER(F, S, A, L, E, V, N, R, O, ...)                                                 \
    F(u64, id) N(user, 1, buyer) R(item, 1, items) O(bool, gift) R(price, 1, fees) S(note)    \
    V(2) O(u64, parent) N(item, 1, bonus) R(order1, 1, history) L(u16, codes)
DX_TELEPORT_DEFINE(order1, ORDER_1)
DX_TELEPORT_DEFINE(order, ORDER)
