/* nanopb for bench_teleport.cc: apart, because its types have the names of protobuf-c's. */
#include "bench_teleport.h"
#include "bench_teleport.pb.h"
#include <pb_decode.h>
#include <pb_encode.h>
#include <stdlib.h>
#include <string.h>

static PbUser user;
static PbOrder order, got;

static void text(char *to, Text t)
{
    memcpy(to, t.data, t.size);
    to[t.size] = 0;
}
void nanopb_fill(const RawUser *u, const RawOrder *o)
{
    user.id = u->id, user.age = u->age, user.active = u->active;
    text(user.name, u->name);
    order.id = o->id, order.customer = o->customer, order.time = o->time;
    text(order.title, o->title), text(order.note, o->note);
    order.items_count = 20, order.stats_count = 16;
    for (int i = 0; i < 20; i++) {
        const RawItem *r = &o->items[i];
        order.items[i].id = r->id, order.items[i].quantity = r->quantity, order.items[i].price = r->price;
        text(order.items[i].sku, r->sku);
        order.items[i].size_count = 4;
        memcpy(order.items[i].size, r->size, sizeof r->size);
    }
    memcpy(order.stats, o->stats, sizeof o->stats);
}
size_t nanopb_put_user(uint8_t *out, size_t capacity)
{
    pb_ostream_t s = pb_ostream_from_buffer(out, capacity);
    if (!pb_encode(&s, PbUser_fields, &user)) abort();
    return s.bytes_written;
}
size_t nanopb_put_order(uint8_t *out, size_t capacity)
{
    pb_ostream_t s = pb_ostream_from_buffer(out, capacity);
    if (!pb_encode(&s, PbOrder_fields, &order)) abort();
    return s.bytes_written;
}
double nanopb_read_order(const uint8_t *bytes, size_t size)
{
    pb_istream_t s = pb_istream_from_buffer(bytes, size);
    if (!pb_decode(&s, PbOrder_fields, &got)) abort();
    double sum = (double)(got.id + got.customer + got.time) + (double)(strlen(got.title) + strlen(got.note)) + got.title[0] + got.note[0];
    for (unsigned i = 0; i < got.items_count; i++) {
        const PbItem *r = &got.items[i];
        sum += (double)r->id + (double)strlen(r->sku) + r->sku[0] + r->quantity + r->price;
        for (unsigned k = 0; k < r->size_count; k++) sum += r->size[k];
    }
    for (unsigned k = 0; k < got.stats_count; k++) sum += got.stats[k];
    return sum;
}
