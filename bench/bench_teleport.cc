// dx_teleport.h beside memcpy, plain structs and other formats (bench/bench_teleport.sh).
// Prints: subject,case,median ns of 9 rounds,least ns,bytes,allocations. "bench order" prints an order in hex and as JSON;
// "bench WORD" measures only cases with that word.
#define DX_IMPLEMENTATION
#include "../dx_teleport.h"
#include "../layers/dx_dump.h"
#include "../layers/dx_ring.h"
#include "bench_teleport.h"
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <vector>
#include <sched.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#ifdef HAS_FLATBUFFERS
#include "bench_teleport_generated.h"
#endif
#ifdef HAS_MSGPACK
#include <msgpack.h>
#endif
#ifdef HAS_PROTOBUF_C
#include "bench_teleport.pb-c.h"
#endif
#ifdef HAS_CAPNP
#include "bench_teleport.capnp.h"
#include <capnp/message.h>
#include <capnp/serialize.h>
#endif
#ifdef HAS_CBOR
#include <cbor.h>
#endif

// Every allocation of the C library counts.
static long allocated;
#ifdef __GLIBC__
extern "C" {
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *malloc(size_t n) { allocated++; return __libc_malloc(n); }
void *calloc(size_t n, size_t size) { allocated++; return __libc_calloc(n, size); }
void *realloc(void *p, size_t n) { allocated++; return __libc_realloc(p, n); }
}
#endif

#define USER(F, S, A, L, E, V, N, R, O, ...) F(u64, id) S(name) F(u8, age) F(bool, active)
DX_TELEPORT_DEFINE(user, USER)
#define ITEM(F, S, A, L, E, V, N, R, O, ...) \
    F(u64, id) S(sku) F(u32, quantity) F(f64, price) A(f64, size, 4)
DX_TELEPORT_DEFINE(item, ITEM)
#define ORDER(F, S, A, L, E, V, N, R, O, ...) \
    F(u64, id) F(u64, customer) F(u64, time) S(title) S(note) R(item, 1, items) A(f64, stats, 16)
DX_TELEPORT_DEFINE(order, ORDER)
#define BULK(F, S, A, L, E, V, N, R, O, ...) L(f32, samples) R(user, 1, users)
DX_TELEPORT_DEFINE(bulk, BULK)

// The same order with text as bytes of any value: its check is of references alone.
#define BYTES_ITEM(F, S, A, L, E, V, N, R, O, ...) \
    F(u64, id) L(u8, sku) F(u32, quantity) F(f64, price) A(f64, size, 4)
DX_TELEPORT_DEFINE(bytes_item, BYTES_ITEM)
#define BYTES_ORDER(F, S, A, L, E, V, N, R, O, ...) \
    F(u64, id) F(u64, customer) F(u64, time) L(u8, title) L(u8, note) R(bytes_item, 1, items) A(f64, stats, 16)
DX_TELEPORT_DEFINE(bytes_order, BYTES_ORDER)

enum { SAMPLES = 1000000, USERS = 10000 };
static RawUser one;
static RawOrder order;
static std::vector<float> samples(SAMPLES);
static std::vector<RawUser> users(USERS);
static std::deque<std::string> texts;
static uint8_t *out, *copy;
static size_t capacity = 16 << 20;
static double sink;

static Text text(const char *format, int i)
{
    char t[40];
    snprintf(t, sizeof t, format, i);
    texts.push_back(t);
    return {texts.back().data(), (uint32_t)texts.back().size()};
}
static void make()
{
    out = (uint8_t *)aligned_alloc(64, capacity);
    copy = (uint8_t *)aligned_alloc(64, capacity);
    memset(out, 1, capacity);
    memset(copy, 1, capacity);
    one = {7, text("Ann Example%d", 1), 41, true};
    order.id = 123456789, order.customer = 42, order.time = 1700000000;
    order.title = text("Order of spares %d", 7), order.note = text("leave at door %d", 9);
    for (int i = 0; i < 20; i++)
        order.items[i] = {1000u + (unsigned)i, text("SKU-%08d", i), 1u + (unsigned)i, 9.5 + i, {1. + i, 2, 3, 4}};
    for (int i = 0; i < 16; i++) order.stats[i] = i * .25;
    for (int i = 0; i < SAMPLES; i++) samples[(size_t)i] = (float)i;
    for (int i = 0; i < USERS; i++) users[(size_t)i] = {(uint64_t)i, text("user %07d", i), (uint8_t)i, i % 2 == 0};
}
static const char *only; // measure cases whose name holds this, or all
template <class F> static void measure(const char *subject, const char *what, size_t bytes, F f)
{
    if (only && !strstr(what, only)) return;
    using clock = std::chrono::steady_clock;
    const long before = allocated;
    f();
    const long allocations = allocated - before;
    auto once = [&](long n) {
        auto t = clock::now();
        for (long i = 0; i < n; i++) { f(); asm volatile("" ::: "memory"); }
        return std::chrono::duration<double, std::nano>(clock::now() - t).count();
    };
    long n = 1;
    while (once(n) < 5e5) n *= 2;
    std::vector<double> t;
    for (int r = 0; r < 9; r++) t.push_back(once(n) / (double)n);
    std::sort(t.begin(), t.end());
    printf("%s,%s,%.4g,%.4g,%zu,%ld\n", subject, what, t[4], t[0], bytes, allocations);
    fflush(stdout);
}
static double look(const char *p, size_t n) { return n ? (double)n + p[0] : 0; }
template <class T> static void keep(T x) { asm volatile("" : : "r,m"(x)); }

// ---- dx_teleport.h
__attribute__((always_inline)) static inline void put_user(user_writer *w, const RawUser &u)
{
    user_set_id(w, u.id);
    user_put_name(w, u.name.data, u.name.size);
    user_set_age(w, u.age);
    user_set_active(w, u.active);
}
template <unsigned flags> static size_t dx_user()
{
    user_writer w;
    size_t n = 0;
    user_begin(&w, out, capacity, flags);
    put_user(&w, one);
    if (user_finish(&w, &n)) abort();
    return n;
}
__attribute__((noinline)) static void put_user_apart(user_writer *w, const RawUser &u) { put_user(w, u); }
static size_t dx_user_apart()
{
    user_writer w;
    size_t n = 0;
    user_begin(&w, out, capacity, 0);
    put_user_apart(&w, one);
    if (user_finish(&w, &n)) abort();
    return n;
}
static size_t dx_order()
{
    order_writer w;
    item_writer item;
    size_t n = 0;
    order_begin(&w, out, capacity, 0);
    order_set_id(&w, order.id);
    order_set_customer(&w, order.customer);
    order_set_time(&w, order.time);
    order_put_title(&w, order.title.data, order.title.size);
    order_put_note(&w, order.note.data, order.note.size);
    order_add_items(&w, 20);
    for (size_t i = 0; i < 20; i++) {
        const RawItem &r = order.items[i];
        order_begin_items(&w, i, &item);
        item_set_id(&item, r.id);
        item_put_sku(&item, r.sku.data, r.sku.size);
        item_set_quantity(&item, r.quantity);
        item_set_price(&item, r.price);
        item_set_size(&item, r.size);
        order_end_items(&w, &item);
    }
    order_set_stats(&w, order.stats);
    if (order_finish(&w, &n)) abort();
    return n;
}
static size_t dx_bytes_order() // the bytes of an order in `out`, but for the checksum in the header, to `copy`
{
    uint8_t header[64];
    bytes_order_writer w;
    dx_teleport_info info;
    if (dx_teleport_peek(out, capacity, &info)) abort();
    const uint32_t size = info.size;
    bytes_order_begin(&w, copy, capacity, 0);
    if (bytes_order_finish(&w, nullptr)) abort();
    memcpy(header, copy, 24);
    memcpy(copy, out, size);
    memcpy(copy + 8, header + 8, 8);
    return size;
}
static size_t dx_bulk()
{
    bulk_writer w;
    size_t n = 0;
    bulk_begin(&w, out, capacity, 0);
    bulk_put_samples(&w, samples.data(), samples.size());
    bulk_add_users(&w, users.size());
    for (size_t i = 0; i < users.size(); i++) {
        user_writer u;
        bulk_begin_users(&w, i, &u);
        put_user(&u, users[i]);
        bulk_end_users(&w, &u);
    }
    if (bulk_finish(&w, &n)) abort();
    return n;
}
static double dx_read(const user_view *v)
{
    dx_teleport_string s = user_get_name(v);
    return (double)user_get_id(v) + look(s.data, s.size) + user_get_age(v) + user_get_active(v);
}
static double dx_read(const order_view *v)
{
    dx_teleport_string s = order_get_title(v), t = order_get_note(v);
    double sum = (double)(order_get_id(v) + order_get_customer(v) + order_get_time(v)) + look(s.data, s.size) + look(t.data, t.size);
    for (size_t i = 0, n = order_count_items(v); i < n; i++) {
        const item_view e = order_at_items(v, i);
        dx_teleport_string k = item_get_sku(&e);
        sum += (double)item_get_id(&e) + look(k.data, k.size) + item_get_quantity(&e) + item_get_price(&e);
        for (size_t d = 0; d < 4; d++) sum += item_at_size(&e, d);
    }
    for (size_t i = 0; i < 16; i++) sum += order_at_stats(v, i);
    return sum;
}
static double dx_read(const bulk_view *v)
{
    double sum = 0;
    const auto *x = bulk_data_samples(v);
    for (size_t i = 0, n = bulk_count_samples(v); i < n; i++) sum += x ? x[i] : bulk_at_samples(v, i);
    for (size_t i = 0, n = bulk_count_users(v); i < n; i++) { const user_view u = bulk_at_users(v, i); sum += dx_read(&u); }
    return sum;
}
static double raw_read(const RawOrder &o)
{
    double sum = (double)(o.id + o.customer + o.time) + look(o.title.data, o.title.size) + look(o.note.data, o.note.size);
    for (const RawItem &r : o.items) {
        sum += (double)r.id + look(r.sku.data, r.sku.size) + r.quantity + r.price;
        for (double d : r.size) sum += d;
    }
    for (double d : o.stats) sum += d;
    return sum;
}
static void dx()
{
    size_t n = dx_user<0>(), bare = dx_user<DX_TELEPORT_BARE>();
    measure("dx_teleport", "user encode", n, [] { dx_user<0>(); });
    measure("dx_teleport", "user encode bare", bare, [] { dx_user<DX_TELEPORT_BARE>(); });
    measure("dx_teleport", "user encode through a pointer", n, [] { dx_user_apart(); });
    dx_user<0>();
    measure("memcpy", "user encode", n, [=] { memcpy(copy, out, n); });
    measure("dx_teleport", "user open", n, [=] { user_view v; if (user_open(&v, out, n)) abort(); keep(user_get_id(&v)); });
    measure("dx_teleport", "user open+read", n, [=] { user_view v; if (user_open(&v, out, n)) abort(); sink += dx_read(&v); });
    n = dx_order();
    measure("dx_teleport", "order encode", n, [] { dx_order(); });
    measure("memcpy", "order encode", n, [=] { memcpy(copy, out, n); });
    measure("dx_teleport", "order open", n, [=] { order_view v; if (order_open(&v, out, n)) abort(); keep(order_get_id(&v)); });
    measure("dx_teleport", "order open text as bytes", dx_bytes_order(), [=] { bytes_order_view v; if (bytes_order_open(&v, copy, n)) abort(); keep(bytes_order_get_id(&v)); });
    order_view all;
    if (order_open(&all, out, n)) abort();
    measure("dx_teleport", "order read", n, [&] { sink += dx_read(&all); });
    measure("raw struct", "order read", sizeof order, [] { sink += raw_read(order); });
    measure("dx_teleport", "order open+read", n, [=] { order_view v; if (order_open(&v, out, n)) abort(); sink += dx_read(&v); });
    memcpy(copy + 1, out, n);
    measure("dx_teleport", "order open+read misaligned", n, [=] { order_view v; if (order_open(&v, copy + 1, n)) abort(); sink += dx_read(&v); });
    n = dx_bulk();
    measure("dx_teleport", "bulk encode", n, [] { dx_bulk(); });
    measure("memcpy", "bulk encode", n, [=] { memcpy(copy, out, n); });
    measure("dx_teleport", "bulk open+read", n, [=] { bulk_view v; if (bulk_open(&v, out, n)) abort(); sink += dx_read(&v); });
    measure("raw struct", "bulk open+read", n, [] { double sum = 0; for (float x : samples) sum += x; for (const RawUser &u : users) sum += (double)u.id + look(u.name.data, u.name.size) + u.age + u.active; sink += sum; });
    measure("dx_teleport", "bulk open", n, [=] { bulk_view v; if (bulk_open(&v, out, n)) abort(); keep(bulk_count_samples(&v)); });
    measure("dx_teleport", "64 KiB slice encode", 65536 + 40, [] {
        bulk_writer w; size_t k; bulk_begin(&w, out, capacity, 0); bulk_put_samples(&w, samples.data(), 16384); bulk_finish(&w, &k); });
    measure("memcpy", "64 KiB slice encode", 65536, [] { memcpy(copy, samples.data(), 65536); });
}

#ifdef HAS_FLATBUFFERS
static flatbuffers::FlatBufferBuilder fbb(16 << 20);
static auto fb_put(const RawUser &u) { return fb::CreateUser(fbb, u.id, fbb.CreateString(u.name.data, u.name.size), u.age, u.active); }
static void fb_order()
{
    fbb.Clear();
    flatbuffers::Offset<fb::Item> items[20];
    for (int i = 0; i < 20; i++) {
        const RawItem &r = order.items[i];
        auto sku = fbb.CreateString(r.sku.data, r.sku.size);
        items[i] = fb::CreateItem(fbb, r.id, sku, r.quantity, r.price, fbb.CreateVector(r.size, 4));
    }
    auto title = fbb.CreateString(order.title.data, order.title.size), note = fbb.CreateString(order.note.data, order.note.size);
    auto list = fbb.CreateVector(items, 20);
    fbb.Finish(fb::CreateOrder(fbb, order.id, order.customer, order.time, title, note, list, fbb.CreateVector(order.stats, 16)));
}
static double fb_read(const fb::Order *o)
{
    double sum = (double)(o->id() + o->customer() + o->time()) + look(o->title()->data(), o->title()->size()) + look(o->note()->data(), o->note()->size());
    for (auto r : *o->items()) {
        sum += (double)r->id() + look(r->sku()->data(), r->sku()->size()) + r->quantity() + r->price();
        for (double d : *r->size()) sum += d;
    }
    for (double d : *o->stats()) sum += d;
    return sum;
}
static void flat()
{
    const char *name = "FlatBuffers";
    auto encode = [] { fbb.Clear(); fbb.Finish(fb_put(one)); };
    auto check = [](auto *t) { using T = std::remove_const_t<std::remove_pointer_t<decltype(t)>>; flatbuffers::Verifier v(fbb.GetBufferPointer(), fbb.GetSize(), 64, 100000000); if (!v.VerifyBuffer<T>(nullptr)) abort(); };
    encode();
    measure(name, "user encode", fbb.GetSize(), encode);
    measure(name, "user open", fbb.GetSize(), [=] { check((fb::User *)nullptr); });
    fb_order();
    size_t n = fbb.GetSize();
    measure(name, "order encode", n, fb_order);
    measure(name, "order open", n, [=] { check((fb::Order *)nullptr); });
    measure(name, "order open+read", n, [=] { check((fb::Order *)nullptr); sink += fb_read(flatbuffers::GetRoot<fb::Order>(fbb.GetBufferPointer())); });
    auto bulk = [] {
        fbb.Clear();
        static std::vector<flatbuffers::Offset<fb::User>> list(USERS);
        for (size_t i = 0; i < USERS; i++) list[i] = fb_put(users[i]);
        auto l = fbb.CreateVector(list);
        fbb.Finish(fb::CreateBulk(fbb, fbb.CreateVector(samples), l));
    };
    bulk();
    measure(name, "bulk encode", fbb.GetSize(), bulk);
    measure(name, "bulk open", fbb.GetSize(), [=] { check((fb::Bulk *)nullptr); });
    measure(name, "bulk open+read", fbb.GetSize(), [=] {
        check((fb::Bulk *)nullptr);
        auto b = flatbuffers::GetRoot<fb::Bulk>(fbb.GetBufferPointer());
        double sum = 0;
        for (float x : *b->samples()) sum += x;
        for (auto u : *b->users()) sum += (double)u->id() + look(u->name()->data(), u->name()->size()) + u->age() + u->active();
        sink += sum;
    });
}
#endif

#ifdef HAS_MSGPACK
static msgpack_sbuffer mp;
static void mp_text(msgpack_packer *k, Text t) { msgpack_pack_str_with_body(k, t.data, t.size); }
static void mp_order()
{
    msgpack_packer k;
    msgpack_sbuffer_clear(&mp);
    msgpack_packer_init(&k, &mp, msgpack_sbuffer_write);
    msgpack_pack_array(&k, 7);
    msgpack_pack_uint64(&k, order.id), msgpack_pack_uint64(&k, order.customer), msgpack_pack_uint64(&k, order.time);
    mp_text(&k, order.title), mp_text(&k, order.note);
    msgpack_pack_array(&k, 20);
    for (const RawItem &r : order.items) {
        msgpack_pack_array(&k, 5);
        msgpack_pack_uint64(&k, r.id), mp_text(&k, r.sku), msgpack_pack_uint32(&k, r.quantity), msgpack_pack_double(&k, r.price);
        msgpack_pack_array(&k, 4);
        for (double d : r.size) msgpack_pack_double(&k, d);
    }
    msgpack_pack_array(&k, 16);
    for (double d : order.stats) msgpack_pack_double(&k, d);
}
static void mp_user(msgpack_packer *k, const RawUser &u)
{
    msgpack_pack_array(k, 4);
    msgpack_pack_uint64(k, u.id), mp_text(k, u.name), msgpack_pack_uint8(k, u.age);
    u.active ? msgpack_pack_true(k) : msgpack_pack_false(k);
}
template <class F> static void mp_start(F f)
{
    msgpack_packer k;
    msgpack_sbuffer_clear(&mp);
    msgpack_packer_init(&k, &mp, msgpack_sbuffer_write);
    f(&k);
}
static void mp_bulk(msgpack_packer *k)
{
    msgpack_pack_array(k, 2);
    msgpack_pack_array(k, SAMPLES);
    for (float x : samples) msgpack_pack_float(k, x);
    msgpack_pack_array(k, USERS);
    for (const RawUser &u : users) mp_user(k, u);
}
static double mp_sum(const msgpack_object &o)
{
    double sum = 0;
    if (o.type == MSGPACK_OBJECT_POSITIVE_INTEGER) return (double)o.via.u64;
    if (o.type == MSGPACK_OBJECT_FLOAT64 || o.type == MSGPACK_OBJECT_FLOAT32) return o.via.f64;
    if (o.type == MSGPACK_OBJECT_STR) return look(o.via.str.ptr, o.via.str.size);
    if (o.type == MSGPACK_OBJECT_ARRAY)
        for (uint32_t i = 0; i < o.via.array.size; i++) sum += mp_sum(o.via.array.ptr[i]);
    return sum;
}
static void messagepack()
{
    msgpack_sbuffer_init(&mp);
    mp_order();
    measure("msgpack-c", "order encode", mp.size, mp_order);
    msgpack_unpacked u;
    msgpack_unpacked_init(&u);
    measure("msgpack-c", "order open+read", mp.size, [&] {
        size_t at = 0;
        if (msgpack_unpack_next(&u, mp.data, mp.size, &at) != MSGPACK_UNPACK_SUCCESS) abort();
        sink += mp_sum(u.data);
    });
    auto one_user = [] { mp_start([](msgpack_packer *k) { mp_user(k, one); }); };
    one_user();
    measure("msgpack-c", "user encode", mp.size, one_user);
    mp_start(mp_bulk);
    measure("msgpack-c", "bulk encode", mp.size, [] { mp_start(mp_bulk); });
    msgpack_unpacked_destroy(&u);
}
#endif

#ifdef HAS_PROTOBUF_C
static void protobuf()
{
    static PbOrder o = PB_ORDER__INIT;
    static PbItem items[20], *list[20];
    static PbUser u = PB_USER__INIT;
    auto str = [](Text t) { return const_cast<char *>(t.data); };
    u.id = one.id, u.name = str(one.name), u.age = one.age, u.active = one.active;
    for (int i = 0; i < 20; i++) {
        RawItem &r = order.items[i];
        pb_item__init(&items[i]);
        list[i] = &items[i];
        items[i].id = r.id, items[i].sku = str(r.sku), items[i].quantity = r.quantity, items[i].price = r.price;
        items[i].n_size = 4, items[i].size = r.size;
    }
    o.id = order.id, o.customer = order.customer, o.time = order.time, o.title = str(order.title), o.note = str(order.note);
    o.n_items = 20, o.items = list, o.n_stats = 16, o.stats = order.stats;
    measure("protobuf-c", "user encode", pb_user__get_packed_size(&u), [] { pb_user__pack(&u, out); });
    size_t n = pb_order__get_packed_size(&o);
    measure("protobuf-c", "order encode", n, [] { pb_order__pack(&o, out); });
    measure("protobuf-c", "order open+read", n, [=] {
        PbOrder *p = pb_order__unpack(nullptr, n, out);
        if (!p) abort();
        double sum = (double)(p->id + p->customer + p->time) + look(p->title, strlen(p->title)) + look(p->note, strlen(p->note));
        for (size_t i = 0; i < p->n_items; i++) {
            PbItem *r = p->items[i];
            sum += (double)r->id + look(r->sku, strlen(r->sku)) + r->quantity + r->price;
            for (size_t k = 0; k < r->n_size; k++) sum += r->size[k];
        }
        for (size_t k = 0; k < p->n_stats; k++) sum += p->stats[k];
        sink += sum;
        pb_order__free_unpacked(p, nullptr);
    });
}
#endif

#ifdef HAS_NANOPB
static void nanopb()
{
    nanopb_fill(&one, &order);
    measure("nanopb", "user encode", nanopb_put_user(out, capacity), [] { nanopb_put_user(out, capacity); });
    size_t n = nanopb_put_order(out, capacity);
    measure("nanopb", "order encode", n, [] { nanopb_put_order(out, capacity); });
    measure("nanopb", "order open+read", n, [=] { sink += nanopb_read_order(out, n); });
}
#endif

#ifdef HAS_CAPNP
static kj::ArrayPtr<capnp::word> cp_scratch; // the first segment, zeroed again by the builder's destructor
static capnp::Text::Reader cp_text(Text t) { return {t.data, t.size}; }
static void cp_put(cp::User::Builder b, const RawUser &u) { b.setId(u.id), b.setName(cp_text(u.name)), b.setAge(u.age), b.setActive(u.active); }
template <class F> static size_t cp_message(F f)
{
    capnp::MallocMessageBuilder m(cp_scratch);
    f(m);
    kj::ArrayOutputStream to(kj::ArrayPtr<kj::byte>(out, capacity));
    capnp::writeMessage(to, m);
    return to.getArray().size();
}
static size_t cp_user() { return cp_message([](capnp::MessageBuilder &m) { cp_put(m.initRoot<cp::User>(), one); }); }
static size_t cp_order()
{
    return cp_message([](capnp::MessageBuilder &m) {
        auto o = m.initRoot<cp::Order>();
        o.setId(order.id), o.setCustomer(order.customer), o.setTime(order.time);
        o.setTitle(cp_text(order.title)), o.setNote(cp_text(order.note));
        auto items = o.initItems(20);
        for (unsigned i = 0; i < 20; i++) {
            const RawItem &r = order.items[i];
            auto b = items[i];
            b.setId(r.id), b.setSku(cp_text(r.sku)), b.setQuantity(r.quantity), b.setPrice(r.price);
            b.setSize(kj::ArrayPtr<const double>(r.size, 4));
        }
        o.setStats(kj::ArrayPtr<const double>(order.stats, 16));
    });
}
static size_t cp_bulk()
{
    return cp_message([](capnp::MessageBuilder &m) {
        auto b = m.initRoot<cp::Bulk>();
        b.setSamples(kj::ArrayPtr<const float>(samples.data(), samples.size()));
        auto list = b.initUsers(USERS);
        for (unsigned i = 0; i < USERS; i++) cp_put(list[i], users[i]);
    });
}
template <class T, class F> static double cp_read(size_t n, F f)
{
    capnp::ReaderOptions options;
    options.traversalLimitInWords = 1u << 30;
    capnp::FlatArrayMessageReader m(kj::ArrayPtr<const capnp::word>((const capnp::word *)out, n / 8), options);
    return f(m.getRoot<T>());
}
static double cp_sum(cp::User::Reader u) { return (double)u.getId() + look(u.getName().cStr(), u.getName().size()) + u.getAge() + u.getActive(); }
static void capn()
{
    const char *name = "Cap'n Proto";
    std::vector<capnp::word> scratch(capacity / 8);
    cp_scratch = kj::ArrayPtr<capnp::word>(scratch.data(), scratch.size());
    measure(name, "user encode", cp_user(), [] { cp_user(); });
    size_t n = cp_user();
    measure(name, "user open+read", n, [=] { sink += cp_read<cp::User>(n, cp_sum); });
    measure(name, "order encode", cp_order(), [] { cp_order(); });
    size_t k = cp_order();
    measure(name, "order open+read", k, [=] {
        sink += cp_read<cp::Order>(k, [](cp::Order::Reader o) {
            double sum = (double)(o.getId() + o.getCustomer() + o.getTime()) + look(o.getTitle().cStr(), o.getTitle().size()) + look(o.getNote().cStr(), o.getNote().size());
            for (auto r : o.getItems()) {
                sum += (double)r.getId() + look(r.getSku().cStr(), r.getSku().size()) + r.getQuantity() + r.getPrice();
                for (double d : r.getSize()) sum += d;
            }
            for (double d : o.getStats()) sum += d;
            return sum;
        });
    });
    size_t all = cp_bulk();
    measure(name, "bulk encode", all, [] { cp_bulk(); });
    measure(name, "bulk open+read", all, [=] {
        sink += cp_read<cp::Bulk>(all, [](cp::Bulk::Reader b) {
            double sum = 0;
            for (float x : b.getSamples()) sum += x;
            for (auto u : b.getUsers()) sum += cp_sum(u);
            return sum;
        });
    });
}
#endif

#ifdef HAS_CBOR
static size_t cb_at; // the end of what libcbor's encoders wrote to `out`
static void cb_uint(uint64_t v) { cb_at += cbor_encode_uint(v, out + cb_at, capacity - cb_at); }
static void cb_double(double v) { cb_at += cbor_encode_double(v, out + cb_at, capacity - cb_at); }
static void cb_array(size_t n) { cb_at += cbor_encode_array_start(n, out + cb_at, capacity - cb_at); }
static void cb_text(Text t)
{
    cb_at += cbor_encode_string_start(t.size, out + cb_at, capacity - cb_at);
    memcpy(out + cb_at, t.data, t.size);
    cb_at += t.size;
}
static void cb_user(const RawUser &u)
{
    cb_array(4), cb_uint(u.id), cb_text(u.name), cb_uint(u.age);
    cb_at += cbor_encode_bool(u.active, out + cb_at, capacity - cb_at);
}
static size_t cb_order()
{
    cb_at = 0;
    cb_array(7), cb_uint(order.id), cb_uint(order.customer), cb_uint(order.time), cb_text(order.title), cb_text(order.note), cb_array(20);
    for (const RawItem &r : order.items) {
        cb_array(5), cb_uint(r.id), cb_text(r.sku), cb_uint(r.quantity), cb_double(r.price), cb_array(4);
        for (double d : r.size) cb_double(d);
    }
    cb_array(16);
    for (double d : order.stats) cb_double(d);
    return cb_at;
}
static size_t cb_bulk()
{
    cb_at = 0;
    cb_array(2), cb_array(SAMPLES);
    for (float x : samples) cb_at += cbor_encode_single(x, out + cb_at, capacity - cb_at);
    cb_array(USERS);
    for (const RawUser &u : users) cb_user(u);
    return cb_at;
}
static double cb_sum(cbor_item_t *item)
{
    double sum = 0;
    switch (cbor_typeof(item)) {
    case CBOR_TYPE_UINT: return (double)cbor_get_int(item);
    case CBOR_TYPE_STRING: return look((const char *)cbor_string_handle(item), cbor_string_length(item));
    case CBOR_TYPE_FLOAT_CTRL: return cbor_float_get_width(item) == CBOR_FLOAT_0 ? cbor_get_bool(item) : cbor_float_get_float(item);
    case CBOR_TYPE_ARRAY:
        for (size_t i = 0; i < cbor_array_size(item); i++) sum += cb_sum(cbor_array_handle(item)[i]);
        return sum;
    default: abort();
    }
}
static void cbor()
{
    const char *name = "libcbor";
    measure(name, "user encode", (cb_at = 0, cb_user(one), cb_at), [] { cb_at = 0; cb_user(one); });
    size_t n = cb_order();
    measure(name, "order encode", n, [] { cb_order(); });
    measure(name, "order open+read", n, [=] {
        cbor_load_result result;
        cbor_item_t *item = cbor_load(out, n, &result);
        if (!item) abort();
        sink += cb_sum(item);
        cbor_decref(&item);
    });
    measure(name, "bulk encode", cb_bulk(), [] { cb_bulk(); });
}
#endif

// ---- ring: ns a record of 16 bytes from one thread or process to another; half of there and back
struct Op { uint64_t a, b; };
static void wait_a_little(unsigned k) { if (k % 256 == 255) sched_yield(); }
static dx_ring_desc ring_desc = {16, 4096};
struct Ring { // in memory that a child process shares
    dx_ring_producer p;
    dx_ring_consumer c;
    Ring()
    {
        const size_t n = dx_ring_memory_size(&ring_desc);
        void *memory = mmap(nullptr, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED || dx_ring_init(memory, n, &ring_desc) ||
            dx_ring_attach_producer(&p, memory, n) || dx_ring_attach_consumer(&c, memory, n)) abort();
    }
    void push(Op x) { for (unsigned k = 0; dx_ring_push(&p, &x, 16); k++) wait_a_little(k); }
    Op pop() { Op x; for (unsigned k = 0; dx_ring_pop(&c, &x, 16, nullptr); k++) wait_a_little(k); return x; }
};
struct Batches : Ring { // a record is seen when 64 are there; the last ones need no help, as the count is a multiple of 64
    Op in[64], out[64];
    size_t filled = 0, seen = 0, known = 0;
    void push(Op x)
    {
        in[filled++] = x;
        if (filled < 64) return;
        for (size_t at = 0, k = 0, n; at < 64; at += n, k++) {
            if (dx_ring_push_many(&p, in + at, 64 - at, &n)) wait_a_little((unsigned)k);
        }
        filled = 0;
    }
    Op pop()
    {
        for (unsigned k = 0; seen == known; k++) {
            seen = known = 0;
            if (dx_ring_pop_many(&c, out, 64, &known)) wait_a_little(k);
        }
        return out[seen++];
    }
};
struct Queue {
    std::mutex m;
    std::deque<Op> q;
    void push(Op x) { std::lock_guard<std::mutex> l(m); q.push_back(x); }
    Op pop()
    {
        for (;; sched_yield()) {
            std::lock_guard<std::mutex> l(m);
            if (q.empty()) continue;
            Op x = q.front();
            q.pop_front();
            return x;
        }
    }
};
struct Pipe {
    int f[2];
    Pipe() { if (pipe(f)) abort(); }
    void push(Op x) { if (write(f[1], &x, 16) != 16) abort(); }
    Op pop() { Op x; if (read(f[0], &x, 16) != 16) abort(); return x; }
};
template <class F> static void beside(bool process, F f, void (*body)()) // run f elsewhere, and body here
{
    if (!process) {
        std::thread other(f);
        body();
        other.join();
        return;
    }
    const pid_t child = fork();
    if (child == 0) { f(); _exit(0); }
    body();
    int status;
    if (child < 0 || waitpid(child, &status, 0) != child || status) abort();
}
template <class Channel> static void channel(const char *subject, const char *between, bool process, long count, bool there_and_back = true)
{
    static Channel *there, *back;
    static long n;
    std::vector<double> times[2];
    for (int round = 0; round < 10; round += 1 + !there_and_back) {
        there = new Channel, back = new Channel;
        n = round % 2 ? count / 20 : count;
        auto t = std::chrono::steady_clock::now();
        if (round % 2)
            beside(process, [] { for (long i = 0; i < n; i++) back->push(there->pop()); },
                   [] { for (long i = 0; i < n; i++) { there->push(Op{1, 2}); back->pop(); } });
        else
            beside(process, [] { for (long i = 0; i < n; i++) there->push(Op{(uint64_t)i, 1}); },
                   [] { for (long i = 0; i < n; i++) if (there->pop().a != (uint64_t)i) abort(); });
        times[round % 2].push_back(std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - t).count() / (double)n / (1 + round % 2));
        delete there, delete back;
    }
    for (int k = 0; k < 1 + there_and_back; k++) {
        std::sort(times[k].begin(), times[k].end());
        printf("%s,%s %s,%.4g,%.4g,16,\n", subject, k ? "one way between" : "16-byte records between", between, times[k][2], times[k][0]);
    }
    fflush(stdout);
}
static void rings()
{
    channel<Ring>("dx_teleport", "two threads", false, 2000000);
    channel<Ring>("dx_teleport", "two processes", true, 2000000);
    channel<Batches>("dx_teleport", "two threads in batches of 64", false, 6400000, false);
    channel<Batches>("dx_teleport", "two processes in batches of 64", true, 6400000, false);
    channel<Queue>("mutex queue", "two threads", false, 200000);
    channel<Pipe>("pipe", "two threads", false, 40000);
    channel<Pipe>("pipe", "two processes", true, 40000);
    static Op from[4096], to[4096];
    measure("memcpy", "4096 copies of 16 bytes on one thread", 65536, [] { for (int i = 0; i < 4096; i++) { memcpy(&to[i], &from[i], 16); asm volatile("" ::: "memory"); } });
    static Ring alone;
    measure("dx_teleport", "push and pop of 16 bytes on one thread", 16, [] { alone.push(Op{1, 2}); alone.pop(); });
    static Batches many;
    measure("dx_teleport", "push and pop of 64 records of 16 bytes on one thread", 1024, [] { for (int i = 0; i < 64; i++) many.push(Op{1, 2}); for (int i = 0; i < 64; i++) many.pop(); });
}

int main(int argc, char **argv)
{
    make();
    if (argc > 1 && !strcmp(argv[1], "order")) {
        const size_t n = dx_order();
        static char json[1 << 16];
        size_t k = 0;
        order_view v;
        if (order_open(&v, out, n)) return 1;
        printf("{\"hex\":\"");
        for (size_t i = 0; i < n; i++) printf("%02x", out[i]);
        if (dx_dump_schema(order_type(), json, sizeof json, &k)) return 1;
        printf("\",\"type\":%.*s,\"value\":", (int)k, json);
        if (dx_dump_record(order_type(), order_any(&v), json, sizeof json, &k)) return 1;
        printf("%.*s}\n", (int)k, json);
        return 0;
    }
    if (argc > 1) only = argv[1];
    dx();
#ifdef HAS_FLATBUFFERS
    flat();
#endif
#ifdef HAS_MSGPACK
    messagepack();
#endif
#ifdef HAS_PROTOBUF_C
    protobuf();
#endif
#ifdef HAS_NANOPB
    nanopb();
#endif
#ifdef HAS_CAPNP
    capn();
#endif
#ifdef HAS_CBOR
    cbor();
#endif
    if (!only) rings();
    return sink == 1;
}
