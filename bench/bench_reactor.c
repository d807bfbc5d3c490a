/* Timers and posts of dx_reactor.h, ns each. Prints "NAME NS" lines, one round. */
#define _GNU_SOURCE
#define DX_REACTOR_IMPLEMENTATION
#include "../dx_reactor.h"
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { TIMERS = 1000000, POSTS = 4000000 };

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static dx_reactor r;
static dx_op     *ops;
static uint32_t  *order;
static uint64_t  *delays;
static uint32_t   state = 1;

static uint32_t next_random(void)
{
    return state = state * 1664525u + 1013904223u;
}

static void drain(uint32_t count)
{
    static dx_completion done[4096];
    while (count) {
        int n = dx_reactor_wait(&r, done, 4096, 0);
        if (n < 0) exit(1);
        count -= (uint32_t)n;
    }
}

static void line(const char *name, uint64_t start, uint32_t count)
{
    if (!name) return;
    printf("%s %.2f\n", name, (double)(now() - start) / count);
}

/* A million timeouts between 30 and 90 seconds: started, put off, cancelled, in the order of their start or
   in any order; then a million that fire within 100 ms. Times are absolute, as a server has them that
   reads the clock once a round. */
static void timers(int which)
{
    const char *const names[3][4] = {{"timer_insert", "timer_rearm", "timer_cancel", "timer_fire"},
                                     {"timer_insert_any", "timer_rearm_any", "timer_cancel_any", "timer_fire_any"},
                                     {NULL, NULL, NULL, NULL}};
    const char *const *name = names[which];
    const bool any_order = which == 1;
    uint64_t base = dx_reactor_refresh_now_ns(&r) + 30000000000u, start;
    for (uint32_t i = 0; i < TIMERS; i++) delays[i] = next_random() % 60000u * 1000000ull + next_random() % 1000000;
    start = now();
    for (uint32_t i = 0; i < TIMERS; i++)
        if (dx_reactor_timer_at(&r, &ops[any_order ? order[i] : i], base + delays[i])) exit(1);
    line(name[0], start, TIMERS);
    start = now();
    for (uint32_t i = 0; i < TIMERS; i++)
        if (dx_reactor_timer_move(&r, &ops[any_order ? order[TIMERS - 1 - i] : i], base + 60000000000u + delays[i])) exit(1);
    line(name[1], start, TIMERS);
    start = now();
    for (uint32_t i = 0; i < TIMERS; i++)
        if (dx_reactor_cancel(&r, &ops[any_order ? order[TIMERS - 1 - i] : i])) exit(1);
    line(name[2], start, TIMERS);
    start = now();
    drain(TIMERS);
    if (!which) line("timer_cancel_delivered", start, TIMERS);
    base = dx_reactor_refresh_now_ns(&r);
    for (uint32_t i = 0; i < TIMERS; i++)
        if (dx_reactor_timer_at(&r, &ops[any_order ? order[i] : i], base + delays[i] / 600)) exit(1);
    while (now() < base + 110000000) {} /* all are due then */
    start = now();
    drain(TIMERS);
    line(name[3], start, TIMERS);
}

/* Posts from another thread into a loop that runs; what the poster spends. */
static uint64_t post_ns;
static void *poster(void *unused)
{
    dx_reactor_message m = {{1, 2, 3}};
    uint64_t start = now(), waited = 0;
    (void)unused;
    for (uint32_t i = 0; i < POSTS;) {
        if (dx_reactor_post(&r, &m) == DX_REACTOR_OK) {
            i++;
            continue;
        }
        uint64_t t = now(); /* full: the loop lags */
        while (dx_reactor_post(&r, &m) != DX_REACTOR_OK) {}
        i++;
        waited += now() - t;
    }
    post_ns = now() - start - waited;
    return NULL;
}

int main(void)
{
    static dx_reactor_message messages[4096];
    dx_reactor_desc desc = {0};
    dx_op receive = {0};
    dx_completion done;
    pthread_t thread;
    uint64_t got = 0;
    desc.pending_max = TIMERS + 16;
    desc.posts_max = 65536;
    desc.memory_size = dx_reactor_memory_size(&desc);
    desc.memory = malloc(desc.memory_size);
    ops = calloc(TIMERS, sizeof *ops);
    order = malloc(TIMERS * sizeof *order);
    delays = malloc(TIMERS * sizeof *delays);
    if (dx_reactor_open(&r, &desc) != DX_REACTOR_OK) return 1;
    for (uint32_t i = 0; i < TIMERS; i++) order[i] = i;
    for (uint32_t i = TIMERS - 1; i; i--) {
        uint32_t k = next_random() % (i + 1), t = order[i];
        order[i] = order[k], order[k] = t;
    }
    timers(2); /* touches all memory once */
    timers(0);
    timers(1);
    dx_reactor_receive(&r, &receive, messages, 4096);
    pthread_create(&thread, NULL, poster, NULL);
    while (got < POSTS) {
        int n = dx_reactor_wait(&r, &done, 1, 0);
        if (n < 0) return 1;
        if (n == 0) continue;
        got += (uint64_t)done.result;
        dx_reactor_receive(&r, &receive, messages, 4096);
    }
    pthread_join(thread, NULL);
    printf("post_running %.2f\n", (double)post_ns / POSTS);
    return 0;
}
