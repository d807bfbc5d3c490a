// dx_teleport.h beside memcpy, plain structs and other formats (bench/bench_teleport.sh).
// Prints: subject,case,median ns of 9 rounds,least ns,bytes. "bench order" prints an order in hex and as JSON.
#define DX_IMPLEMENTATION
#include "../dx_teleport.h"
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
#ifdef HAS_FLATBUFFERS
#include "bench_teleport_generated.h"
#endif
#ifdef HAS_MSGPACK
#include <msgpack.h>
#endif
#ifdef HAS_PROTOBUF_C
#include "bench_teleport.pb-c.h"
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

struct Text { const char *data; uint32_t size; };
struct RawUser { uint64_t id; Text name; uint8_t age; bool active; };
struct RawItem { uint64_t id; Text sku; uint32_t quantity; double price; double size[4]; };
struct RawOrder { uint64_t id, customer, time; Text title, note; RawItem items[20]; double stats[16]; };
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
    auto once = [&](long n) {
        auto t = clock::now();
        for (long i = 0; i < n; i++) { f(); asm volatile("" ::: "memory"); }
        return std::chrono::duration<double, std::nano>(clock::now() - t).count();
    };
    long n = 1;
    while (once(n) < 1e6) n *= 2;
    std::vector<double> t;
    for (int r = 0; r < 9; r++) t.push_back(once(n) / (double)n);
    std::sort(t.begin(), t.end());
    printf("%s,%s,%.4g,%.4g,%zu\n", subject, what, t[4], t[0], bytes);
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
    measure("dx_teleport", "user open", n, [=] { user_view v; if (user_open(&v, out, n)) abort(); keep(v.view_.record_); });
    measure("dx_teleport", "user open+read", n, [=] { user_view v; if (user_open(&v, out, n)) abort(); sink += dx_read(&v); });
    n = dx_order();
    measure("dx_teleport", "order encode", n, [] { dx_order(); });
    measure("memcpy", "order encode", n, [=] { memcpy(copy, out, n); });
    measure("dx_teleport", "order open", n, [=] { order_view v; if (order_open(&v, out, n)) abort(); keep(v.view_.record_); });
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
    measure("dx_teleport", "bulk open", n, [=] { bulk_view v; if (bulk_open(&v, out, n)) abort(); keep(v.view_.record_); });
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
static double mp_sum(const msgpack_object &o)
{
    double sum = 0;
    if (o.type == MSGPACK_OBJECT_POSITIVE_INTEGER) return (double)o.via.u64;
    if (o.type == MSGPACK_OBJECT_FLOAT64) return o.via.f64;
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

// ---- ring: ns a record of 16 bytes between two threads; one way of a ping-pong
struct Op { uint64_t a, b; };
template <class Push, class Pop> static void pass(const char *subject, long count, Push push, Pop pop)
{
    std::vector<double> times;
    for (int round = 0; round < 5; round++) {
        auto t = std::chrono::steady_clock::now();
        std::thread other([&] { for (long i = 0; i < count; i++) push(Op{(uint64_t)i, 1}); });
        for (long i = 0; i < count; i++)
            if (pop().a != (uint64_t)i) abort();
        other.join();
        times.push_back(std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - t).count() / (double)count);
    }
    std::sort(times.begin(), times.end());
    printf("%s,ring 16-byte records two threads,%.4g,%.4g,16\n", subject, times[2], times[0]);
}
struct Ring {
    uint8_t *memory;
    dx_teleport_producer p;
    dx_teleport_consumer c;
    Ring()
    {
        dx_teleport_ring_desc d = {16, 4096};
        size_t n = dx_teleport_ring_memory_size(&d);
        memory = (uint8_t *)aligned_alloc(64, (n + 63) / 64 * 64);
        if (dx_teleport_ring_init(memory, n, &d) || dx_teleport_producer_attach(&p, memory, n) || dx_teleport_consumer_attach(&c, memory, n)) abort();
    }
    void push(Op x) { for (unsigned k = 0; dx_teleport_producer_push(&p, &x, 16); ) if (++k % 256 == 0) sched_yield(); }
    Op pop() { Op x; for (unsigned k = 0; dx_teleport_consumer_pop(&c, &x, 16, nullptr); ) if (++k % 256 == 0) sched_yield(); return x; }
};
static void rings()
{
    Ring r, back;
    pass("dx_teleport", 4000000, [&](Op x) { r.push(x); }, [&] { return r.pop(); });
    std::mutex m;
    std::deque<Op> q;
    pass("mutex queue", 300000, [&](Op x) { std::lock_guard<std::mutex> l(m); q.push_back(x); },
         [&] { for (;;) { { std::lock_guard<std::mutex> l(m); if (!q.empty()) { Op x = q.front(); q.pop_front(); return x; } } sched_yield(); } });
    int f[2];
    if (pipe(f)) abort();
    pass("pipe", 30000, [&](Op x) { if (write(f[1], &x, 16) != 16) abort(); }, [&] { Op x; if (read(f[0], &x, 16) != 16) abort(); return x; });
    measure("memcpy", "4096 records of 16 bytes one thread", 65536, [] { static Op from[4096], to[4096]; for (int i = 0; i < 4096; i++) { memcpy(&to[i], &from[i], 16); asm volatile("" ::: "memory"); } });
    std::vector<double> times;
    for (int round = 0; round < 5; round++) {
        const long n = 20000;
        auto t = std::chrono::steady_clock::now();
        std::thread other([&] { for (long i = 0; i < n; i++) back.push(r.pop()); });
        for (long i = 0; i < n; i++) { r.push(Op{1, 2}); back.pop(); }
        other.join();
        times.push_back(std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - t).count() / n / 2);
    }
    std::sort(times.begin(), times.end());
    printf("dx_teleport,ring one way,%.4g,%.4g,16\n", times[2], times[0]);
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
        if (dx_teleport_describe(order_type(), json, sizeof json, &k)) return 1;
        printf("\",\"type\":%.*s,\"value\":", (int)k, json);
        if (order_dump(&v, json, sizeof json, &k)) return 1;
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
    if (!only) rings();
    return sink == 1;
}
