/* Tasks and worker groups of dx_reactor.h; frames. */
#define _GNU_SOURCE
#define DX_IMPLEMENTATION
#include "../../dx_reactor.h"
#include "../../layers/dx_frames.h"
#define DX_TEST_MAIN
#include "../dx_test.h"

#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* >>kit ---------------------------------------------------------------- */
#define MS UINT64_C(1000000)
enum { MOST = 8 };

typedef struct crew {
    dx_reactor_group      group;
    dx_reactor_group_desc desc;
} crew;

static void *last_memory; /* workers are inspected after their end */

static int crew_try(crew *c)
{
    free(last_memory);
    c->desc.memory_size = dx_reactor_group_memory_size(&c->desc);
    c->desc.memory = last_memory = malloc(c->desc.memory_size + 1);
    return dx_reactor_group_start(&c->group, &c->desc);
}

static void crew_start(crew *c, uint32_t workers)
{
    c->desc.workers = workers;
    c->desc.fixed = true;
    DX_CHECK_EQ(crew_try(c), DX_REACTOR_OK);
    DX_CHECK_EQ(c->group.count, workers);
}

static void crew_end(crew *c)
{
    dx_reactor_group_stop(&c->group);
    DX_CHECK_EQ(dx_reactor_group_join(&c->group), DX_REACTOR_OK);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 * MS + (uint64_t)t.tv_nsec;
}

static uint64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000 * MS + (uint64_t)t.tv_nsec;
}

static void until(const uint32_t *counter, uint32_t wanted)
{
    uint64_t end = now_ns() + 60000 * MS;
    while (__atomic_load_n(counter, __ATOMIC_SEQ_CST) < wanted && now_ns() < end) usleep(200);
    DX_CHECK_EQ(__atomic_load_n(counter, __ATOMIC_SEQ_CST), wanted);
}

typedef struct job { /* a task that counts its runs */
    dx_reactor_task task;
    uint32_t        ran, worker, number;
    struct job     *children;
    uint32_t        count, tree; /* children[0..count): pushed; tree: the number of all descendants */
} job;

static uint32_t finished;

static void job_run(dx_reactor_task *task, dx_reactor_worker *w)
{
    job *j = (job *)task;
    __atomic_add_fetch(&j->ran, 1, __ATOMIC_SEQ_CST);
    j->worker = w ? w->index : 99;
    for (uint32_t i = 0; i < j->count; i++) {
        int error = dx_reactor_worker_push(w, &j->children[i].task);
        if (error == DX_REACTOR_EAGAIN) j->children[i].task.fn(&j->children[i].task, w);
    }
    __atomic_add_fetch(&finished, 1, __ATOMIC_SEQ_CST);
}

static void job_init(job *j)
{
    memset(j, 0, sizeof *j);
    j->task.fn = job_run;
}

/* >>cpus ---------------------------------------------------------------- */
DX_TEST(wk_1_one_worker_per_allowed_cpu)
{
    cpu_set_t before, one;
    int limit = -1;
    uint32_t all = dx_reactor_cpu_count(&limit);
    DX_CHECK(all >= 1);
    DX_CHECK(limit >= DX_REACTOR_CPUS_ONLINE && limit <= DX_REACTOR_CPUS_QUOTA);
    if (sched_getaffinity(0, sizeof before, &before) != 0) DX_SKIP("no sched_getaffinity");
    CPU_ZERO(&one);
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &before)) {
            CPU_SET(i, &one);
            break;
        }
    if (CPU_COUNT(&before) > 1 && sched_setaffinity(0, sizeof one, &one) == 0) {
        DX_CHECK_EQ(dx_reactor_cpu_count(&limit), 1);
        DX_CHECK_EQ(limit, DX_REACTOR_CPUS_AFFINITY);
        sched_setaffinity(0, sizeof before, &before);
    }
    crew k = {0};
    DX_CHECK_EQ(crew_try(&k), DX_REACTOR_OK); /* all defaults */
    DX_CHECK_EQ(k.group.count, all);
    crew_end(&k);
}

static void put(const char *root, const char *path, const char *text)
{
    char whole[512];
    snprintf(whole, sizeof whole, "%s%s", root, path);
    for (char *p = whole + strlen(root) + 1; *p; p++)
        if (*p == '/') {
            *p = 0;
            mkdir(whole, 0777);
            *p = '/';
        }
    FILE *f = fopen(whole, "w");
    DX_CHECK(f != NULL);
    fputs(text, f);
    fclose(f);
}

DX_TEST(wk_1_quota_of_a_cgroup)
{
    char root[64], command[80];
    snprintf(root, sizeof root, "build/cgroup.%d", (int)getpid());
    mkdir("build", 0777);
    mkdir(root, 0777);
    DX_CHECK_EQ(dx_reactor_p_quotas(root), 0);
    put(root, "/proc/self/cgroup", "0::/a/b\n");
    DX_CHECK_EQ(dx_reactor_p_quotas(root), 0);
    put(root, "/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    DX_CHECK_EQ(dx_reactor_p_quotas(root), 0);
    put(root, "/sys/fs/cgroup/a/cpu.max", "250000 100000\n");
    DX_CHECK_EQ(dx_reactor_p_quotas(root), 3); /* two and a half */
    put(root, "/sys/fs/cgroup/a/b/cpu.max", "50000 100000\n");
    DX_CHECK_EQ(dx_reactor_p_quotas(root), 1);
    put(root, "/sys/fs/cgroup/a/b/cpu.max", "");
    put(root, "/sys/fs/cgroup/cpu.max", "200000 100000\n");
    DX_CHECK_EQ(dx_reactor_p_quotas(root), 2); /* the smallest among the ancestors */
    put(root, "/sys/fs/cgroup/a/b/cpu.max", "0 0\n");
    put(root, "/sys/fs/cgroup/a/cpu.max", "99999999999999999999999 1\n");
    put(root, "/sys/fs/cgroup/cpu.max", "garbage");
    dx_reactor_p_quotas(root); /* arbitrary bytes: some number */
    put(root, "/proc/self/cgroup", "12:memory:/c\n4:cpu,cpuacct:/c\n");
    put(root, "/sys/fs/cgroup/cpu/c/cpu.cfs_quota_us", "-1\n");
    put(root, "/sys/fs/cgroup/cpu/c/cpu.cfs_period_us", "100000\n");
    DX_CHECK_EQ(dx_reactor_p_quotas(root), 0);
    put(root, "/sys/fs/cgroup/cpu/c/cpu.cfs_quota_us", "400000\n");
    DX_CHECK_EQ(dx_reactor_p_quotas(root), 4);
    put(root, "/proc/self/cgroup", "no colon, no end");
    DX_CHECK_EQ(dx_reactor_p_quotas(root), 0);
    snprintf(command, sizeof command, "rm -r %s", root);
    DX_CHECK_EQ(system(command), 0);
}

/* >>groups -------------------------------------------------------------- */
static uint32_t started[MOST], stopped[MOST];

static int note_start(dx_reactor_worker *w)
{
    __atomic_add_fetch(&started[w->index], 1, __ATOMIC_SEQ_CST);
    return DX_REACTOR_OK;
}

static void note_stop(dx_reactor_worker *w)
{
    __atomic_add_fetch(&stopped[w->index], 1, __ATOMIC_SEQ_CST);
}

DX_TEST(wk_2_exactly_n_and_zero_is_refused)
{
    for (uint32_t n = 1; n <= MOST; n++) {
        crew k = {0};
        k.desc.start = note_start;
        k.desc.stop = note_stop;
        memset(started, 0, sizeof started);
        memset(stopped, 0, sizeof stopped);
        crew_start(&k, n);
        for (uint32_t i = 0; i < MOST; i++) DX_CHECK_EQ(started[i], i < n);
        crew_end(&k);
        for (uint32_t i = 0; i < MOST; i++) DX_CHECK_EQ(stopped[i], i < n);
    }
    crew k = {0};
    char byte;
    k.desc.fixed = true;
    DX_CHECK_EQ(dx_reactor_group_memory_size(&k.desc), 0);
    DX_CHECK_EQ(dx_reactor_group_memory_size(NULL), 0);
    k.desc.memory = &byte;
    DX_CHECK_EQ(dx_reactor_group_start(&k.group, &k.desc), DX_REACTOR_EINVAL);
    k.desc.workers = 1025;
    DX_CHECK_EQ(dx_reactor_group_start(&k.group, &k.desc), DX_REACTOR_EINVAL);
    k.desc.workers = 1;
    k.desc.tasks_max = UINT32_MAX;
    DX_CHECK_EQ(dx_reactor_group_start(&k.group, &k.desc), DX_REACTOR_EINVAL);
    k.desc.tasks_max = 0;
    k.desc.memory_size = dx_reactor_group_memory_size(&k.desc) - 1;
    DX_CHECK_EQ(dx_reactor_group_start(&k.group, &k.desc), DX_REACTOR_ENOMEM);
    DX_CHECK_EQ(dx_reactor_group_start(NULL, &k.desc), DX_REACTOR_EINVAL);
}

DX_TEST(wk_2_memory_at_any_address)
{
    for (uint32_t shift = 0; shift < 3; shift++) {
        crew k = {0};
        k.desc.workers = 2;
        k.desc.memory_size = dx_reactor_group_memory_size(&k.desc);
        uint8_t *memory = malloc(k.desc.memory_size + shift);
        k.desc.memory = memory + shift;
        DX_CHECK_EQ(dx_reactor_group_start(&k.group, &k.desc), DX_REACTOR_OK);
        dx_reactor_group_stop(&k.group);
        DX_CHECK_EQ(dx_reactor_group_join(&k.group), DX_REACTOR_OK);
        free(memory);
    }
}

static int start_fails(dx_reactor_worker *w)
{
    return w->index == 1 ? -77 : 0;
}

DX_TEST(wk_2_a_worker_that_cannot_start_ends_the_group)
{
    crew k = {0};
    k.desc.start = start_fails;
    k.desc.workers = 3;
    DX_CHECK_EQ(crew_try(&k), -77);
    memset(&k, 0, sizeof k);
    k.desc.reactor.backend = DX_REACTOR_BACKEND_COUNT;
    k.desc.workers = 2;
    DX_CHECK_EQ(crew_try(&k), DX_REACTOR_EINVAL);
}

static int32_t cpu_of[MOST];
static int note_cpu(dx_reactor_worker *w)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    cpu_of[w->index] = -1;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) == 1)
        for (int i = 0; i < CPU_SETSIZE; i++)
            if (CPU_ISSET(i, &set)) cpu_of[w->index] = i;
    return 0;
}

DX_TEST(wk_3_each_worker_is_pinned)
{
    crew k = {0};
    cpu_set_t set;
    int cpus = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 0;
    if (!cpus) DX_SKIP("no affinity here");
    k.desc.start = note_cpu;
    crew_start(&k, 4);
    for (uint32_t i = 0; i < 4; i++) {
        DX_CHECK_EQ(dx_reactor_group_worker(&k.group, i)->cpu, cpu_of[i]);
        DX_CHECK(cpu_of[i] >= 0);
        DX_CHECK_EQ(cpu_of[i], cpu_of[i % (uint32_t)cpus]); /* more workers than CPUs: they share */
    }
    if (cpus > 1) DX_CHECK(cpu_of[0] != cpu_of[1]);
    crew_end(&k);
    memset(&k, 0, sizeof k);
    k.desc.no_pin = true;
    k.desc.start = note_cpu;
    crew_start(&k, 2);
    DX_CHECK_EQ(dx_reactor_group_worker(&k.group, 0)->cpu, -1); /* and -1 reports it */
    if (cpus > 1) DX_CHECK_EQ(cpu_of[0], -1);
    crew_end(&k);
}

/* >>deque --------------------------------------------------------------- */
static void worker_bare(dx_reactor_worker *w, dx_reactor_task **ring, uint32_t size)
{
    memset(w, 0, sizeof *w);
    w->tasks_ = ring;
    w->mask_ = size - 1;
}

DX_PROPERTY(wk_4_deque_is_a_list_with_two_ends, 500)
{
    static dx_reactor_worker w;
    dx_reactor_task *ring[8], tasks[256];
    uint32_t model[256], first = 0, last = 0, next = 0, steps = (uint32_t)dx_choose(c, 200);
    uintptr_t top;
    worker_bare(&w, ring, 8);
    w.top_ = w.bottom_ = (uintptr_t)0 - dx_choose(c, 9); /* the indices may wrap */
    while (steps--) {
        uint64_t what = dx_choose(c, 2);
        if (what == 0 && next < 256) {
            bool pushed = dx_reactor_p_deque_push(&w, &tasks[next]);
            DX_CHECK_EQ(pushed, last - first < 8);
            if (pushed) model[last++] = next++;
        } else if (what == 1) {
            dx_reactor_task *task = dx_reactor_p_deque_pop(&w);
            DX_CHECK(task == (last > first ? &tasks[model[last - 1]] : NULL));
            if (task) last--;
        } else if (what == 2) {
            bool empty = dx_reactor_p_deque_empty(&w, &top);
            DX_CHECK_EQ(empty, last == first);
            if (empty) continue;
            DX_CHECK(dx_reactor_p_deque_claim(&w, top) == &tasks[model[first++]]);
        }
    }
}

/* One owner pushes and takes, thieves steal: every task is returned exactly once. */
enum { STRESS = 200000, THIEVES = 3 };
static dx_reactor_worker stressed;
static job *stress_jobs;
static uint32_t stress_out;

static void *thief(void *unused)
{
    (void)unused;
    while (__atomic_load_n(&stress_out, __ATOMIC_SEQ_CST) < STRESS) {
        uintptr_t top;
        dx_reactor_task *task;
        if (dx_reactor_p_deque_empty(&stressed, &top)) {
            sched_yield();
            continue;
        }
        task = dx_reactor_p_deque_claim(&stressed, top);
        if (!task) continue;
        ((job *)task)->ran++; /* not atomic: no other thread has it (ThreadSanitizer checks) */
        __atomic_add_fetch(&stress_out, 1, __ATOMIC_SEQ_CST);
    }
    return NULL;
}

DX_TEST(wk_4_deque_gives_every_task_once_under_stress)
{
    static dx_reactor_task *ring[64];
    pthread_t threads[THIEVES];
    uint32_t next = 0;
    uint64_t random = 12345;
    worker_bare(&stressed, ring, 64);
    stress_out = 0;
    stress_jobs = calloc(STRESS, sizeof *stress_jobs);
    for (int i = 0; i < THIEVES; i++) pthread_create(&threads[i], NULL, thief, NULL);
    while (__atomic_load_n(&stress_out, __ATOMIC_SEQ_CST) < STRESS) {
        uint32_t burst = dx_test_below(&random, 16);
        while (next < STRESS && burst--) {
            stress_jobs[next].number = next;
            if (!dx_reactor_p_deque_push(&stressed, &stress_jobs[next].task)) break;
            next++;
        }
        for (burst = random >> 24 & 15; burst; burst--) {
            dx_reactor_task *task = dx_reactor_p_deque_pop(&stressed);
            if (!task) break;
            ((job *)task)->ran++;
            __atomic_add_fetch(&stress_out, 1, __ATOMIC_SEQ_CST);
        }
    }
    for (int i = 0; i < THIEVES; i++) pthread_join(threads[i], NULL);
    for (uint32_t i = 0; i < STRESS; i++) DX_CHECK_EQ(stress_jobs[i].ran, 1);
    free(stress_jobs);
}

/* >>tasks --------------------------------------------------------------- */
static uint32_t order_next[4], order_bad;

static void in_order(dx_reactor_task *task, dx_reactor_worker *w)
{
    job *j = (job *)task;
    (void)w;
    if (order_next[j->worker]++ != j->number) order_bad++;
    __atomic_add_fetch(&finished, 1, __ATOMIC_SEQ_CST);
}

typedef struct producer {
    dx_reactor_group *group;
    job              *jobs;
    uint32_t          count;
} producer;

static void *produce(void *of)
{
    producer *p = of;
    for (uint32_t i = 0; i < p->count; i++) {
        DX_CHECK_EQ(dx_reactor_group_submit(p->group, 0, &p->jobs[i].task), DX_REACTOR_OK);
        if (i % 64 == 0) sched_yield();
    }
    return NULL;
}

DX_TEST(wk_5_inbox_takes_from_many_threads_in_the_order_of_each)
{
    enum { EACH = 20000 };
    static job jobs[4][EACH];
    producer producers[4];
    pthread_t threads[4];
    crew k = {0};
    crew_start(&k, 1);
    finished = order_bad = 0;
    memset(order_next, 0, sizeof order_next);
    for (uint32_t t = 0; t < 4; t++) {
        for (uint32_t i = 0; i < EACH; i++) {
            job_init(&jobs[t][i]);
            jobs[t][i].task.fn = in_order;
            jobs[t][i].worker = t;
            jobs[t][i].number = i;
        }
        producers[t].group = &k.group;
        producers[t].jobs = jobs[t];
        producers[t].count = EACH;
        pthread_create(&threads[t], NULL, produce, &producers[t]);
    }
    for (uint32_t t = 0; t < 4; t++) pthread_join(threads[t], NULL);
    until(&finished, 4 * EACH);
    crew_end(&k);
    DX_CHECK_EQ(order_bad, 0);
    DX_CHECK_EQ(dx_reactor_group_worker(&k.group, 0)->from_inbox, 4 * EACH);
}

/* A tree of tasks, each of which pushes its children; roots submitted from outside: each runs once. */
static uint32_t grow(job *jobs, uint32_t *used, uint32_t at, uint32_t depth, uint32_t *random)
{
    *random = *random * 1664525 + 1013904223;
    uint32_t count = depth ? *random >> 30 : 0;
    if (*used + count > 4096) count = 0;
    jobs[at].children = jobs + *used;
    jobs[at].count = count;
    uint32_t first = *used;
    *used += count;
    for (uint32_t i = 0; i < count; i++) job_init(&jobs[first + i]);
    for (uint32_t i = 0; i < count; i++) grow(jobs, used, first + i, depth - 1, random);
    return *used;
}

DX_TEST(wk_6_tasks_run_exactly_once_whoever_runs_them)
{
    static job jobs[4200];
    uint32_t random = 7;
    for (uint32_t round = 0; round < 30; round++) {
        crew k = {0};
        uint32_t used = 40, sum = 0;
        k.desc.tasks_max = 1u << (round % 6 + 1); /* also deques that are always full */
        crew_start(&k, round % 4 + 1);
        finished = 0;
        for (uint32_t i = 0; i < 40; i++) job_init(&jobs[i]);
        for (uint32_t i = 0; i < 40; i++) grow(jobs, &used, i, 8, &random);
        for (uint32_t i = 0; i < 40; i++)
            DX_CHECK_EQ(dx_reactor_group_submit(&k.group, DX_REACTOR_ANY, &jobs[i].task), 0);
        until(&finished, used);
        crew_end(&k);
        for (uint32_t i = 0; i < used; i++) DX_CHECK_EQ(jobs[i].ran, 1);
        for (uint32_t i = 0; i < k.group.count; i++) {
            dx_reactor_worker *w = dx_reactor_group_worker(&k.group, i);
            sum += (uint32_t)(w->from_deque + w->stolen + w->from_inbox);
            if (k.group.count == 1) DX_CHECK_EQ(w->stolen, 0);
        }
        DX_CHECK(sum <= used && sum >= 40); /* the rest ran inline when a deque was full */
    }
}

static uint32_t hold, held;
static void holder(dx_reactor_task *task, dx_reactor_worker *w)
{
    job *j = (job *)task;
    for (uint32_t i = 0; i < j->count; i++) dx_reactor_worker_push(w, &j->children[i].task);
    __atomic_store_n(&held, 1, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&hold, __ATOMIC_SEQ_CST)) sched_yield();
}

DX_TEST(wk_6_only_who_has_nothing_steals)
{
    static job root, children[100], others[100];
    crew k = {0};
    crew_start(&k, 2);
    finished = hold = held = 0;
    job_init(&root);
    root.task.fn = holder;
    root.children = children;
    root.count = 100;
    for (uint32_t i = 0; i < 100; i++) job_init(&children[i]);
    for (uint32_t i = 0; i < 100; i++) job_init(&others[i]);
    /* Worker 0 pushes a hundred and stays busy: worker 1 wakes up and steals them all. */
    DX_CHECK_EQ(dx_reactor_group_submit(&k.group, 0, &root.task), 0);
    until(&finished, 100);
    DX_CHECK_EQ(__atomic_load_n(&held, __ATOMIC_SEQ_CST), 1);
    for (uint32_t i = 0; i < 100; i++) DX_CHECK_EQ(children[i].worker, 1);
    /* A worker serves its own inbox first. */
    for (uint32_t i = 0; i < 100; i++) DX_CHECK_EQ(dx_reactor_group_submit(&k.group, 1, &others[i].task), 0);
    until(&finished, 200);
    __atomic_store_n(&hold, 1, __ATOMIC_SEQ_CST);
    crew_end(&k);
    DX_CHECK_EQ(dx_reactor_group_worker(&k.group, 1)->stolen, 100);
    DX_CHECK_EQ(dx_reactor_group_worker(&k.group, 1)->from_inbox, 100);
    DX_CHECK_EQ(dx_reactor_group_worker(&k.group, 0)->stolen, 0);
    DX_CHECK_EQ(dx_reactor_group_submit(&k.group, 2, &root.task), DX_REACTOR_EINVAL);
    root.task.fn = NULL;
    DX_CHECK_EQ(dx_reactor_group_submit(&k.group, 0, &root.task), DX_REACTOR_EINVAL);
    DX_CHECK_EQ(dx_reactor_group_submit(&k.group, 0, NULL), DX_REACTOR_EINVAL);
}

DX_TEST(wk_7_w_31_idle_workers_sleep)
{
    crew k = {0};
    crew_start(&k, 4);
    uint64_t cpu = 100 * MS;
    for (int i = 0; i < 20 && cpu >= 4 * MS; i++) { /* they may take a while to get there */
        usleep(20000);
        cpu = cpu_ns();
        usleep(400000);
        cpu = cpu_ns() - cpu;
    }
    crew_end(&k);
    DX_CHECK(cpu < 4 * MS); /* less than 1 % of one CPU, all four together */
}

static uint64_t latest;
static void late(dx_reactor_task *task, dx_reactor_worker *w)
{
    job *j = (job *)task;
    (void)w;
    uint64_t took = now_ns() - __atomic_load_n(&latest, __ATOMIC_SEQ_CST);
    if (took > 20000 * MS) j->ran = 1; /* an idle worker sleeps forever: only a busy machine is late */
    __atomic_add_fetch(&finished, 1, __ATOMIC_SEQ_CST);
}

DX_TEST(wk_7_no_wake_up_is_lost)
{
    crew k = {0};
    job j;
    crew_start(&k, 2);
    job_init(&j);
    j.task.fn = late;
    for (uint32_t i = 0; i < 2000; i++) { /* each finds its worker asleep or about to sleep */
        finished = 0;
        __atomic_store_n(&latest, now_ns(), __ATOMIC_SEQ_CST);
        DX_CHECK_EQ(dx_reactor_group_submit(&k.group, DX_REACTOR_ANY, &j.task), 0);
        while (!__atomic_load_n(&finished, __ATOMIC_SEQ_CST)) {
            if (now_ns() - latest > 60000 * MS) break;
            if (i % 3 == 0) sched_yield();
        }
        DX_CHECK_EQ(finished, 1);
    }
    crew_end(&k);
    DX_CHECK_EQ(j.ran, 0);
}

static void again_and_again(dx_reactor_task *task, dx_reactor_worker *w)
{
    job *j = (job *)task;
    j->ran++;
    dx_reactor_worker_push(w, task);
}

static uint32_t ticks;
static void tick(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    (void)flags;
    if (result == 0 && __atomic_add_fetch(&ticks, 1, __ATOMIC_SEQ_CST) < 5) dx_reactor_timer(r, op, MS);
}

static dx_op tick_op;
static int start_ticking(dx_reactor_worker *w)
{
    dx_reactor_op_init(&tick_op, tick, NULL);
    return dx_reactor_timer(&w->reactor, &tick_op, MS);
}

DX_TEST(wk_8_completions_come_although_tasks_never_end_and_stop_is_quick)
{
    crew k = {0};
    job j, inbox;
    ticks = finished = 0;
    k.desc.start = start_ticking;
    crew_start(&k, 1);
    job_init(&j);
    j.task.fn = again_and_again;
    job_init(&inbox);
    DX_CHECK_EQ(dx_reactor_group_submit(&k.group, 0, &j.task), 0);
    until(&ticks, 5);
    uint64_t before = now_ns();
    crew_end(&k);
    DX_CHECK(now_ns() - before < 60000 * MS);
    DX_CHECK(j.ran > 5);
}

static void stop_from_inside(dx_reactor_task *task, dx_reactor_worker *w)
{
    (void)task;
    dx_reactor_group_stop(w->group);
}

static dx_reactor_group *signalled;
static void stop_on_signal(int number)
{
    (void)number;
    dx_reactor_group_stop(signalled);
}

DX_TEST(wk_8_stop_from_a_worker_and_from_a_signal_handler)
{
    for (uint32_t round = 0; round < 50; round++) {
        crew k = {0};
        job j;
        job_init(&j);
        j.task.fn = stop_from_inside;
        crew_start(&k, 3);
        signalled = &k.group;
        if (round % 2) {
            DX_CHECK_EQ(dx_reactor_group_submit(&k.group, DX_REACTOR_ANY, &j.task), 0);
        } else {
            signal(SIGUSR1, stop_on_signal);
            raise(SIGUSR1);
            signal(SIGUSR1, SIG_DFL);
        }
        DX_CHECK_EQ(dx_reactor_group_join(&k.group), DX_REACTOR_OK);
        }
}

/* >>reuseport ----------------------------------------------------------- */
static dx_op accept_ops[4];
static uint32_t accepted[4], accepted_sum;
static uint16_t port;

static void count_accepted(dx_reactor *r, dx_op *op, int32_t result, uint32_t flags)
{
    (void)r, (void)flags;
    if (result < 0) return;
    close(result);
    dx_reactor_forget(r, result);
    accepted[op - accept_ops]++;
    __atomic_add_fetch(&accepted_sum, 1, __ATOMIC_SEQ_CST);
}

static int listeners[4];
static int listen_there(dx_reactor_worker *w)
{
    dx_reactor_address at, bound;
    char text[32];
    snprintf(text, sizeof text, "127.0.0.1:%u", (unsigned)__atomic_load_n(&port, __ATOMIC_SEQ_CST));
    dx_reactor_address_parse(&at, text);
    int error = dx_reactor_listen(&w->reactor, &at, DX_REACTOR_REUSEPORT, 0, &listeners[w->index], &bound);
    if (error) return error;
    dx_reactor_op_init(&accept_ops[w->index], count_accepted, NULL);
    return dx_reactor_accept_multishot(&w->reactor, &accept_ops[w->index], listeners[w->index]);
}

DX_TEST(wk_9_workers_share_a_port)
{
    crew k = {0};
    dx_reactor_address any, bound;
    int first;
    DX_CHECK_EQ(dx_reactor_address_parse(&any, "127.0.0.1:0"), 0);
    DX_CHECK_EQ(dx_reactor_listen(NULL, &any, DX_REACTOR_REUSEPORT, 0, &first, &bound), 0);
    port = dx_reactor_address_port(&bound);
    accepted_sum = 0;
    memset(accepted, 0, sizeof accepted);
    k.desc.start = listen_there;
    crew_start(&k, 3);
    close(first);
    struct sockaddr_in to;
    memset(&to, 0, sizeof to);
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (uint32_t i = 0; i < 200; i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        DX_CHECK(fd >= 0);
        DX_CHECK_EQ(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
        until(&accepted_sum, i + 1);
        close(fd);
    }
    crew_end(&k);
    for (uint32_t i = 0; i < 3; i++) {
        DX_CHECK(accepted[i] > 0); /* 200 of them, by a hash: each of the three got some */
        close(listeners[i]);
    }
}

/* >>frames -------------------------------------------------------------- */
typedef struct timed { /* a task that takes a fixed time on a clock that only tasks advance */
    dx_reactor_task task;
    uint64_t        cost, ended;
    uint32_t        ran;
} timed;

static uint64_t fake_now;
static char     log_text[512];
static uint64_t fake_clock(void *user)
{
    return fake_now + (uint64_t)(uintptr_t)user;
}

static void timed_run(dx_reactor_task *task, dx_reactor_worker *w)
{
    timed *t = (timed *)task;
    DX_CHECK(w == NULL);
    fake_now += t->cost;
    t->ran++;
    size_t used = strlen(log_text);
    if (used < 500) log_text[used] = *(char *)task->user, log_text[used + 1] = 0;
}

static void timed_init(timed *t, uint64_t cost, const char *name)
{
    memset(t, 0, sizeof *t);
    t->task.fn = timed_run;
    t->task.user = (void *)(uintptr_t)name;
    t->cost = cost;
}

static void frames_open(dx_frames *f)
{
    dx_frames_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.clock = fake_clock;
    fake_now = 1000 * MS;
    log_text[0] = 0;
    DX_CHECK_EQ(dx_frames_init(f, &desc), DX_FRAMES_OK);
}

DX_TEST(sd_1_budget_yield_and_idle_limits)
{
    dx_frames f;
    timed t[3][40];
    const char *names[3] = {"i", "n", "x"};
    const uint32_t most[3] = {40, 35, 20}; /* of 0.1 ms each */
    for (int level = 0; level < 3; level++) {
        frames_open(&f);
        for (int i = 0; i < 40; i++) {
            timed_init(&t[level][i], MS / 10, names[level]);
            DX_CHECK_EQ(dx_frames_push(&f, level, &t[level][i].task), 0);
        }
        DX_CHECK_EQ(dx_frames_run(&f), most[level]);
        DX_CHECK_EQ(dx_frames_run(&f), 40 - most[level]); /* the rest */
        DX_CHECK_EQ(dx_frames_run(&f), 0);
    }
}

DX_TEST(sd_1_arguments)
{
    dx_frames f;
    dx_frames_desc d;
    dx_reactor_task t;
    memset(&d, 0, sizeof d);
    memset(&t, 0, sizeof t);
    DX_CHECK_EQ(dx_frames_init(&f, NULL), 0);
    DX_CHECK_EQ(dx_frames_push(&f, 0, &t), DX_FRAMES_EINVAL);
    t.fn = timed_run;
    DX_CHECK_EQ(dx_frames_push(&f, 3, &t), DX_FRAMES_EINVAL);
    DX_CHECK_EQ(dx_frames_push(&f, -1, &t), DX_FRAMES_EINVAL);
    DX_CHECK_EQ(dx_frames_push(&f, 0, NULL), DX_FRAMES_EINVAL);
    d.idle_ns = 5 * MS;
    DX_CHECK_EQ(dx_frames_init(&f, &d), DX_FRAMES_EINVAL);
    d.idle_ns = 0;
    d.yield_ns = 5 * MS;
    DX_CHECK_EQ(dx_frames_init(&f, &d), DX_FRAMES_EINVAL);
    d.yield_ns = 0;
    d.budget_ns = 8;
    DX_CHECK_EQ(dx_frames_init(&f, &d), 0);
}

DX_TEST(frames_errors_have_the_values_of_the_reactor)
{
#define SAME(value, name)                                     \
    DX_CHECK_EQ((int)DX_FRAMES_##name, (int)DX_REACTOR_##name); \
    DX_CHECK_STR(dx_frames_error_name(value), "DX_FRAMES_" #name);
    DX_FRAMES_ERRORS(SAME)
#undef SAME
    DX_CHECK_STR(dx_frames_error_name(-99), "unknown error");
}

static dx_frames *pushing_to;
static timed pushed;
static void push_immediate(dx_reactor_task *task, dx_reactor_worker *w)
{
    timed_run(task, w);
    dx_frames_push(pushing_to, DX_FRAMES_IMMEDIATE, &pushed.task);
}

DX_TEST(sd_2_w_27_levels_in_order_and_first_in_first_out)
{
    dx_frames f;
    timed t[9];
    const char *names[9] = {"1", "2", "3", "4", "5", "6", "7", "8", "9"};
    const int levels[9] = {2, 1, 0, 1, 2, 0, 0, 2, 1};
    frames_open(&f);
    for (int i = 0; i < 9; i++) {
        timed_init(&t[i], 1, names[i]);
        DX_CHECK_EQ(dx_frames_push(&f, levels[i], &t[i].task), 0);
    }
    timed_init(&pushed, 1, "p");
    pushing_to = &f;
    t[1].task.fn = push_immediate; /* a pushed task takes its slot */
    DX_CHECK_EQ(dx_frames_run(&f), 10);
    DX_CHECK_STR(log_text, "3672p49158");
}

DX_TEST(sd_2_a_million_pushes_cost_the_same_each)
{
    enum { MANY = 1000000 };
    dx_frames f;
    timed *t = calloc(MANY, sizeof *t);
    frames_open(&f);
    for (uint32_t i = 0; i < MANY; i++) {
        timed_init(&t[i], 0, "");
        DX_CHECK_EQ(dx_frames_push(&f, (int)(i % 3), &t[i].task), 0);
    }
    DX_CHECK_EQ(dx_frames_run(&f), MANY); /* quadratic work would not end */
    for (uint32_t i = 0; i < MANY; i++) DX_CHECK_EQ(t[i].ran, 1);
    free(t);
}

DX_PROPERTY(sd_3_nothing_is_lost_and_nobody_starves, 200)
{
    dx_frames_desc desc;
    dx_frames f;
    static timed t[600];
    uint32_t used = 0, ran = 0, waited = 0, patience = (uint32_t)dx_choose_range(c, 1, 20);
    memset(&desc, 0, sizeof desc);
    desc.clock = fake_clock;
    desc.patience = patience;
    log_text[0] = 0;
    DX_CHECK_EQ(dx_frames_init(&f, &desc), 0);
    timed_init(&t[used], MS / 4, "");
    DX_CHECK_EQ(dx_frames_push(&f, DX_FRAMES_IDLE, &t[used++].task), 0);
    for (uint32_t frame = 0; frame < 30; frame++) {
        uint64_t count = dx_choose(c, 10);
        if (used + count + 8 > 600) count = 0;
        while (count--) {
            timed_init(&t[used], dx_choose(c, 6) * MS / 2, "");
            DX_CHECK_EQ(dx_frames_push(&f, (int)dx_choose(c, 1), &t[used++].task), 0);
        }
        ran += dx_frames_run(&f);
        if (!t[0].ran) DX_CHECK(++waited <= patience); /* however busy the others are */
    }
    for (uint32_t frame = 0; ran < used && frame < 2000; frame++) ran += dx_frames_run(&f);
    DX_CHECK_EQ(ran, used);
    for (uint32_t i = 0; i < used; i++) DX_CHECK_EQ(t[i].ran, 1);
}

/* A level that others keep waiting runs one task after each `patience` frames, no sooner and no more. */
DX_TEST(sd_3_patience_is_counted_in_frames)
{
    dx_frames_desc desc;
    dx_frames f;
    timed busy[10], idle[3];
    memset(&desc, 0, sizeof desc);
    desc.clock = fake_clock;
    desc.patience = 3;
    log_text[0] = 0;
    DX_CHECK_EQ(dx_frames_init(&f, &desc), 0);
    for (int i = 0; i < 3; i++) {
        timed_init(&idle[i], 1, "x");
        DX_CHECK_EQ(dx_frames_push(&f, DX_FRAMES_IDLE, &idle[i].task), 0);
    }
    for (int i = 0; i < 10; i++) {
        timed_init(&busy[i], 4 * MS, "i"); /* the whole frame */
        DX_CHECK_EQ(dx_frames_push(&f, DX_FRAMES_IMMEDIATE, &busy[i].task), 0);
        dx_frames_run(&f);
    }
    DX_CHECK_STR(log_text, "iiiixiiiixii");
}

/* Frames that are late by more than a period are skipped, and the rhythm continues from there. */
enum { FRAMES_SEEN = 4 };
static uint64_t frame_times[FRAMES_SEEN];
static uint32_t frames_seen;
static void note_frame(dx_reactor_task *task, dx_reactor_worker *w)
{
    (void)w;
    if (frames_seen == 0) usleep(50000);
    if (frames_seen < FRAMES_SEEN) frame_times[frames_seen++] = now_ns();
    dx_frames_push(pushing_to, DX_FRAMES_IMMEDIATE, task);
}
DX_TEST(sd_4_late_frames_are_left_out)
{
    static uint64_t memory[65536];
    const uint64_t begin = now_ns();
    dx_reactor r;
    dx_reactor_desc desc;
    dx_frames f;
    dx_frames_desc every;
    dx_reactor_task task;
    memset(&desc, 0, sizeof desc);
    memset(&every, 0, sizeof every);
    memset(&task, 0, sizeof task);
    desc.memory = memory;
    desc.memory_size = sizeof memory;
    DX_CHECK_EQ(dx_reactor_open(&r, &desc), 0);
    every.period_ns = 10 * MS;
    every.budget_ns = 8; /* one task a frame */
    DX_CHECK_EQ(dx_frames_init(&f, &every), 0);
    task.fn = note_frame;
    pushing_to = &f;
    frames_seen = 0;
    DX_CHECK_EQ(dx_frames_push(&f, DX_FRAMES_IMMEDIATE, &task), 0);
    DX_CHECK_EQ(dx_frames_start(&f, &r), 0);
    while (frames_seen < FRAMES_SEEN && now_ns() < begin + 60000 * MS)
        DX_CHECK(dx_reactor_run_once(&r, (int64_t)(20 * MS)) >= 0);
    dx_frames_stop(&f);
    DX_CHECK_EQ(dx_reactor_close(&r), 0);
    DX_CHECK_EQ(frames_seen, FRAMES_SEEN);
    for (uint32_t i = 2; i < FRAMES_SEEN; i++) DX_CHECK(frame_times[i] >= frame_times[0] + (i - 1) * every.period_ns);
}

DX_TEST(sd_4_stats_of_sixty_frames)
{
    dx_frames f;
    timed t[120];
    frames_open(&f);
    for (int i = 0; i < 120; i++) {
        timed_init(&t[i], (i < 60 ? 1 : 5) * MS, "");
        DX_CHECK_EQ(f.stats.frames, i < 60 ? 0 : 60);
        DX_CHECK_EQ(dx_frames_push(&f, DX_FRAMES_NORMAL, &t[i].task), 0);
        DX_CHECK_EQ(dx_frames_run(&f), 1);
        if (i != 59) continue;
        DX_CHECK_EQ(f.stats.frames, 60);
        DX_CHECK_EQ(f.stats.executed, 60);
        DX_CHECK_EQ(f.stats.used_ns, 60 * MS);
        DX_CHECK_EQ(f.stats.remaining_ns, 60 * 3 * MS);
    }
    DX_CHECK_EQ(f.stats.used_ns, 300 * MS);
    DX_CHECK_EQ(f.stats.remaining_ns, 0); /* over the budget: no time remained */
}

DX_TEST(sd_4_sd_5_start_and_stop_any_number_of_times)
{
    static uint64_t memory[65536];
    dx_reactor r;
    dx_reactor_desc desc;
    dx_frames f;
    dx_frames_desc every;
    timed t;
    memset(&desc, 0, sizeof desc);
    memset(&every, 0, sizeof every);
    desc.memory = memory;
    desc.memory_size = sizeof memory;
    DX_CHECK_EQ(dx_reactor_open(&r, &desc), 0);
    every.period_ns = 2 * MS;
    DX_CHECK_EQ(dx_frames_init(&f, &every), 0);
    timed_init(&t, 0, "");
    log_text[0] = 0;
    DX_CHECK_EQ(dx_frames_push(&f, DX_FRAMES_IDLE, &t.task), 0);
    DX_CHECK_EQ(dx_frames_start(&f, NULL), DX_FRAMES_EINVAL);
    DX_CHECK_EQ(dx_frames_start(&f, &r), 0);
    DX_CHECK_EQ(dx_frames_start(&f, &r), 0);
    DX_CHECK_EQ(dx_reactor_pending(&r), 1);
    uint64_t begin = now_ns();
    while (now_ns() < begin + 50 * MS || (f.now_.frames < 5 && now_ns() < begin + 60000 * MS))
        DX_CHECK(dx_reactor_run_once(&r, (int64_t)(5 * MS)) >= 0);
    DX_CHECK_EQ(t.ran, 1);
    DX_CHECK(f.now_.frames >= 5 && f.now_.frames <= (now_ns() - begin) / (2 * MS) + 2);
    dx_frames_stop(&f);
    dx_frames_stop(&f);
    DX_CHECK_EQ(dx_frames_start(&f, &r), 0); /* before its timer has come back */
    DX_CHECK_EQ(dx_reactor_run_once(&r, (int64_t)(50 * MS)) >= 0, 1);
    dx_frames_stop(&f);
    while (dx_reactor_pending(&r)) DX_CHECK(dx_reactor_run_once(&r, (int64_t)(50 * MS)) >= 0);
    uint64_t frames = f.now_.frames;
    DX_CHECK_EQ(dx_reactor_run_once(&r, (int64_t)(5 * MS)), 0);
    DX_CHECK_EQ(f.now_.frames, frames);
    DX_CHECK_EQ(dx_frames_start(&f, &r), 0);
    DX_CHECK_EQ(dx_reactor_close(&r), 0); /* ends it too */
    DX_CHECK(!f.running_);
}
