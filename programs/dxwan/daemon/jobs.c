/* The mirrors and receivers of a daemon. See jobs.h. */
#include "jobs.h"

#include "../../common/os.h"
#include "../net/address.h"
#include "../net/path.h"
#include "check.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SECOND ((uint64_t)1000000000)
#define MS ((uint64_t)1000000)
enum { PAUSE_MS = 100 };

/* >>waiting -------------------------------------------------------------- */
/* Wait until a time of prog_now_ns(), or until the job is asked to end. The lock is held. */
static void wait_until(wan_job *job, uint64_t until_ns)
{
    struct timespec at;
    const uint64_t now = (uint64_t)prog_now_ns();
    if (job->ender.count || now >= until_ns) return;
    clock_gettime(CLOCK_REALTIME, &at);
    const uint64_t ns = (uint64_t)at.tv_nsec + until_ns - now;
    at.tv_sec += (time_t)(ns / SECOND);
    at.tv_nsec = (long)(ns % SECOND);
    (void)pthread_cond_timedwait(&job->all->changed, &job->all->lock, &at);
}

static void pause_job(wan_job *job, uint64_t ns)
{
    const uint64_t until = (uint64_t)prog_now_ns() + ns;
    pthread_mutex_lock(&job->all->lock);
    while (!job->ender.count && (uint64_t)prog_now_ns() < until) wait_until(job, until);
    pthread_mutex_unlock(&job->all->lock);
}

/* Wait until the breaker lets the job through. False: it was asked to end. */
static bool enter(wan_job *job)
{
    wan_breaker *b = &job->to->breaker;
    bool said = false, allowed = false;
    pthread_mutex_lock(&job->all->lock);
    while (!job->ender.count && !allowed) {
        const uint64_t now = (uint64_t)prog_now_ns();
        allowed = wan_breaker_allows(b, job, now);
        if (allowed) continue;
        if (!said) {
            job->figures.errors[WAN_CIRCUIT_OPEN]++;
            prog_warn("mirror %s: CIRCUIT_OPEN: %s failed %u time%s in a row; it is tried again in "
                      "%.1f s", job->name, job->to->address, (unsigned)b->failures, prog_plural(b->failures),
                      b->until_ns > now ? (double)(b->until_ns - now) / 1e9 : 0.0);
        }
        said = true;
        wait_until(job, b->state == WAN_OPEN ? b->until_ns : now + PAUSE_MS * MS);
    }
    pthread_mutex_unlock(&job->all->lock);
    return allowed;
}

/* wan_figures.verified: the destination works. */
static void on_verified(void *user)
{
    wan_job *job = user;
    pthread_mutex_lock(&job->all->lock);
    const bool was_open = job->to->breaker.state != WAN_CLOSED;
    wan_breaker_report(&job->to->breaker, job, true, (uint64_t)prog_now_ns());
    if (was_open) pthread_cond_broadcast(&job->all->changed);
    pthread_mutex_unlock(&job->all->lock);
}

/* wan_figures.connected: say when a destination goes down, and when it is back. */
static void on_connected(void *user, int32_t reason)
{
    wan_job *job = user;
    wan_destination *to = job->to;
    pthread_mutex_lock(&job->all->lock);
    if (reason && !to->down)
        prog_warn("destination %s is down: %s; it is tried again", to->address, os_error_text(-reason));
    else if (!reason && to->down) prog_warn("destination %s is back", to->address);
    to->down = reason != 0;
    pthread_mutex_unlock(&job->all->lock);
}

/* >>threads -------------------------------------------------------------- */
/* The job has ended: wake the main thread. */
static void end(wan_job *job)
{
    pthread_mutex_lock(&job->all->lock);
    job->ended = true;
    pthread_mutex_unlock(&job->all->lock);
    (void)kill(getpid(), SIGUSR1);
}

/* After 1, 2, 4 s, and so on up to the last of the tries. */
static uint64_t backoff_ns(const wan_config *c, uint32_t failures)
{
    uint64_t ns = c->backoff_ms * MS;
    for (uint32_t i = 1; i < failures && i < c->tries; i++)
        if (ns < 3600 * SECOND) ns *= 2;
    return ns;
}

static void *run_mirror(void *user)
{
    wan_job *job = user;
    const wan_config *c = &job->all->config;
    uint32_t failures = 0;
    while (enter(job)) {
        const uint64_t rounds = job->figures.totals.rounds;
        const int status = job->all->mirror(&job->o);
        fflush(stdout);
        if (job->figures.totals.rounds > rounds) failures = 0;
        pthread_mutex_lock(&job->all->lock);
        if (status) wan_breaker_report(&job->to->breaker, job, false, (uint64_t)prog_now_ns());
        else wan_breaker_leave(&job->to->breaker, job);
        job->status = status;
        pthread_mutex_unlock(&job->all->lock);
        if (job->ender.count) break;
        failures++;
        pthread_mutex_lock(&job->figures.lock);
        job->figures.errors[job->figures.error]++;
        pthread_mutex_unlock(&job->figures.lock);
        const uint64_t ns = backoff_ns(c, failures);
        prog_warn("mirror %s: %s: failed %u time%s in a row; again in %.1f s", job->name,
                  wan_error_name(job->figures.error), (unsigned)failures, prog_plural(failures), (double)ns / 1e9);
        pause_job(job, ns);
    }
    end(job);
    return NULL;
}

static void *run_receiver(void *user)
{
    wan_job *job = user;
    while (!job->ender.count) {
        job->refusals.was_said = job->refusals.was_known = false;
        const int status = job->all->receive(&job->o);
        fflush(stdout);
        pthread_mutex_lock(&job->all->lock);
        job->received += !status && !job->ender.count;
        job->status = status;
        pthread_mutex_unlock(&job->all->lock);
        if (!status || job->ender.count) continue;
        const bool is_known = job->refusals.was_known && !job->refusals.was_said; /* one that tries again */
        if (!is_known) prog_warn("receiver %s: failed; it waits for the next sender", job->name);
        pause_job(job, PAUSE_MS * MS);
    }
    wan_refusals_tick(&job->refusals, true);
    end(job);
    return NULL;
}

/* >>jobs ----------------------------------------------------------------- */
static wan_destination *destination(wan_jobs *j, const wan_config *c, const char *address)
{
    for (uint32_t i = 0; i < j->destination_count; i++)
        if (!strcmp(j->destinations[i].address, address)) return &j->destinations[i];
    if (j->destination_count == WAN_MIRRORS_MAX) return NULL;
    wan_destination *d = &j->destinations[j->destination_count++];
    memset(d, 0, sizeof *d);
    d->address = prog_copy_text(address);
    d->breaker.failures_max = (uint32_t)c->failures;
    d->breaker.open_ns = c->open_ms * MS;
    return d;
}

static wan_job *new_job(wan_jobs *j, const wan_config *c)
{
    wan_job *job = prog_alloc(sizeof *job);
    memset(job, 0, sizeof *job);
    job->all = j;
    job->ender.drain_ns = c->drain_s * SECOND;
    pthread_mutex_init(&job->figures.lock, NULL);
    job->figures.interval_ns = c->metrics_ms * MS;
    job->o.ender = &job->ender;
    job->o.listener = -1;
    job->o.timeout_ns = c->timeout_ms * MS;
    job->o.connect_ns = c->connect_timeout_ms * MS;
    job->o.health_ns = c->health_ms * MS;
    job->o.send_buffer = c->send_buffer_bytes;
    job->o.recv_buffer = c->recv_buffer_bytes;
    job->o.congestion = j->config.congestion_control;
    job->o.config = ""; /* messages name keys, not options */
    wan_config_tls(&j->config, &job->o);
    return job;
}

static void free_job(wan_job *job)
{
    if (!job) return;
    assert(!job->started);
    if (job->o.listener >= 0) os_close_socket(job->o.listener);
    free(job->mirror.name);
    free(job->mirror.file);
    free(job->mirror.address);
    free(job->mirror.as);
    free(job->mirror.tls_name);
    free(job->mirror.like);
    free(job->receiver.name);
    free(job->receiver.address);
    free(job->receiver.out);
    free(job->receiver.tls_name);
    pthread_mutex_destroy(&job->figures.lock);
    free(job);
}

static int open_mirror(wan_jobs *j, const wan_config *c, const wan_mirror_config *m, wan_job **out)
{
    static const int32_t levels[4] = {-1, 1, 3, 9};
    dx_reactor_address at;
    (void)wan_address_find(&at, m->address); /* says that it is not found; it may be found later */
    wan_destination *to = destination(j, c, m->address);
    if (!to)
        return prog_fail(PROG_USAGE, "mirror %s: INVALID_CONFIG: more than 64 destinations since the "
                         "start; restart the daemon", m->name);
    wan_job *job = *out = new_job(j, c);
    job->mirror = (wan_mirror_config){prog_copy_text(m->name), prog_copy_text(m->file), prog_copy_text(m->address),
                                      prog_copy_text(m->as), prog_copy_text(m->tls_name),
                                      prog_copy_text(m->like), m->every_s};
    job->name = job->mirror.name;
    job->to = to;
    job->figures.verified = on_verified;
    job->figures.connected = on_connected;
    job->figures.user = job;
    job->o.figures = &job->figures;
    job->o.file = job->mirror.file;
    job->o.address = job->mirror.address;
    job->o.name = job->mirror.as;
    job->o.tls_name = job->mirror.tls_name;
    job->o.like = job->mirror.like;
    job->o.every_ns = m->every_s * SECOND;
    job->o.pause_ns = 10 * SECOND;
    job->o.plain = !c->enabled;
    job->o.no_delta = !c->delta;
    job->o.level = levels[c->level];
    job->o.adaptive = c->adaptive;
    job->o.ratio_wanted = (uint32_t)(c->adaptive_threshold * 100);
    job->o.streams = c->enabled ? (uint32_t)c->initial_streams : 1;
    if (c->enabled && c->max_streams > c->min_streams) {
        job->o.streams_min = (uint32_t)c->min_streams;
        job->o.streams_max = (uint32_t)c->max_streams;
        job->o.grow_percent = (uint32_t)(c->stream_scaling_factor * 100 + 0.5);
    }
    job->o.rate = c->enabled && c->pacing ? c->pacing_rate : 0;
    return PROG_OK;
}

static int open_receiver(wan_jobs *j, const wan_config *c, const wan_receiver_config *q, wan_job **out)
{
    char bound[DX_REACTOR_ADDRESS_TEXT_SIZE];
    int listener = -1;
    const int status = wan_listen(q->address, &listener, bound);
    if (status) return status;
    wan_path_set_buffers(listener, 0, c->recv_buffer_bytes); /* each connection inherits it */
    wan_job *job = *out = new_job(j, c);
    job->receiver = (wan_receiver_config){prog_copy_text(q->name), prog_copy_text(q->address), prog_copy_text(q->out),
                                          q->size_max, q->force, prog_copy_text(q->tls_name)};
    job->name = job->receiver.name;
    job->o.listener = listener;
    job->o.refusals = &job->refusals;
    job->o.address = job->receiver.address;
    job->o.out = job->receiver.out;
    job->o.tls_name = job->receiver.tls_name;
    job->o.force = q->force;
    job->o.size_max = q->size_max;
    prog_say("receiver %s: listening on %s\n", q->name, bound);
    return PROG_OK;
}

/* Start the thread. */
static int start_job(wan_job *job)
{
    const bool sends = job->mirror.name != NULL;
    job->started = !pthread_create(&job->thread, NULL, sends ? run_mirror : run_receiver, job);
    return job->started ? PROG_OK : prog_fail(PROG_SYSTEM, "%s: no thread can be started", job->name);
}

static wan_job *find(wan_jobs *j, const char *name)
{
    for (uint32_t i = 0; i < j->count; i++)
        if (!strcmp(j->jobs[i]->name, name)) return j->jobs[i];
    return NULL;
}

/* Ask for the end, once. The lock is held. */
static void ask(wan_job *job, bool now)
{
    if (!job->ender.count) job->ender.since_ns = prog_now_ns();
    job->ender.count = now ? 2 : job->ender.count ? (int)job->ender.count : 1;
}

/* Open all that *c names and that does not run yet: receivers first. */
static int open_all(wan_jobs *j, const wan_config *c, wan_job **fresh, uint32_t *count)
{
    int status = PROG_OK;
    for (uint32_t i = 0; i < c->receiver_count && !status; i++) {
        if (find(j, c->receivers[i].name)) continue;
        status = open_receiver(j, c, &c->receivers[i], &fresh[*count]);
        *count += !status;
    }
    for (uint32_t i = 0; i < c->mirror_count && !status; i++) {
        if (find(j, c->mirrors[i].name)) continue;
        status = open_mirror(j, c, &c->mirrors[i], &fresh[*count]);
        *count += !status;
    }
    return status;
}

/* Undo what open_all() did, and the threads that were started, the last one first. */
static void roll_back(wan_jobs *j, wan_job **fresh, uint32_t count)
{
    pthread_mutex_lock(&j->lock);
    for (uint32_t i = 0; i < count; i++) ask(fresh[i], true);
    pthread_cond_broadcast(&j->changed);
    pthread_mutex_unlock(&j->lock);
    while (count > 0) {
        wan_job *job = fresh[--count];
        if (job->started) pthread_join(job->thread, NULL);
        job->started = false;
        free_job(job);
    }
}

/* Start all that is new, or nothing. */
static int add(wan_jobs *j, const wan_config *c)
{
    wan_job *fresh[WAN_JOBS_MAX];
    uint32_t count = 0;
    memset(fresh, 0, sizeof fresh);
    if (c->mirror_count + c->receiver_count + j->count > WAN_JOBS_MAX)
        return prog_fail(PROG_USAGE, "INVALID_CONFIG: more than %d mirrors and receivers, those that "
                         "are ending included", WAN_JOBS_MAX);
    int status = open_all(j, c, fresh, &count);
    for (uint32_t i = 0; i < count && !status; i++) status = start_job(fresh[i]);
    if (status) {
        roll_back(j, fresh, count);
        return status;
    }
    pthread_mutex_lock(&j->lock);
    for (uint32_t i = 0; i < count; i++) j->jobs[j->count++] = fresh[i];
    pthread_mutex_unlock(&j->lock);
    return PROG_OK;
}

void wan_jobs_open(wan_jobs *j, wan_config *config, int (*mirror)(const wan_options *o),
                   int (*receive)(const wan_options *o))
{
    memset(j, 0, sizeof *j);
    pthread_mutex_init(&j->lock, NULL);
    pthread_cond_init(&j->changed, NULL);
    j->mirror = mirror;
    j->receive = receive;
    j->config = *config;
    memset(config, 0, sizeof *config);
}

int wan_jobs_start(wan_jobs *j) { return add(j, &j->config); }

/* >>changes -------------------------------------------------------------- */
static const wan_mirror_config *mirror_in(const wan_config *c, const char *name)
{
    for (uint32_t i = 0; i < c->mirror_count; i++)
        if (!strcmp(c->mirrors[i].name, name)) return &c->mirrors[i];
    return NULL;
}

static const wan_receiver_config *receiver_in(const wan_config *c, const char *name)
{
    for (uint32_t i = 0; i < c->receiver_count; i++)
        if (!strcmp(c->receivers[i].name, name)) return &c->receivers[i];
    return NULL;
}

/* Is the job in *c as it runs? 0: not in it; -1: with other values. */
static int stays(const wan_job *job, const wan_config *c)
{
    const wan_mirror_config *m = mirror_in(c, job->name);
    const wan_receiver_config *q = receiver_in(c, job->name);
    if (!m && !q) return 0;
    if (job->ender.count) return -1; /* it is ending */
    if (m && job->mirror.name && wan_mirror_same(m, &job->mirror)) return 1;
    return q && job->receiver.name && wan_receiver_same(q, &job->receiver) ? 1 : -1;
}

/* What does not run yet was not looked at by wan_check() at the start. */
static int check_fresh(wan_jobs *j, const wan_config *c)
{
    int status = PROG_OK;
    for (uint32_t i = 0; i < c->receiver_count && !status; i++)
        if (!find(j, c->receivers[i].name)) status = wan_check_receiver(c, &c->receivers[i]);
    for (uint32_t i = 0; i < c->mirror_count && !status; i++)
        if (!find(j, c->mirrors[i].name)) status = wan_check_mirror(c, &c->mirrors[i]);
    return status;
}

int wan_jobs_reload(wan_jobs *j, wan_config *config)
{
    const char *section = wan_config_differs(&j->config, config);
    if (section)
        return prog_fail(PROG_USAGE, "INVALID_CONFIG: [%s] cannot change while the daemon runs; nothing "
                                     "was changed", section);
    for (uint32_t i = 0; i < j->count; i++)
        if (stays(j->jobs[i], config) < 0)
            return prog_fail(PROG_USAGE, "INVALID_CONFIG: %s cannot change while it %s; nothing was "
                             "changed", j->jobs[i]->name, j->jobs[i]->ender.count ? "ends" : "runs");
    int status = check_fresh(j, config);
    if (!status) status = add(j, config);
    if (status) return status;
    pthread_mutex_lock(&j->lock);
    for (uint32_t i = 0; i < j->count; i++)
        if (!stays(j->jobs[i], config)) ask(j->jobs[i], false);
    pthread_cond_broadcast(&j->changed);
    pthread_mutex_unlock(&j->lock);
    return PROG_OK;
}

/* >>end ------------------------------------------------------------------ */
void wan_jobs_ask(wan_jobs *j, bool receivers, bool now)
{
    pthread_mutex_lock(&j->lock);
    j->ending = true;
    for (uint32_t i = 0; i < j->count; i++)
        if (!j->jobs[i]->mirror.name == receivers) ask(j->jobs[i], now);
    pthread_cond_broadcast(&j->changed);
    pthread_mutex_unlock(&j->lock);
}

uint32_t wan_jobs_reap(wan_jobs *j, bool receivers)
{
    uint32_t left = 0;
    for (uint32_t i = 0; i < j->count;) {
        wan_job *job = j->jobs[i];
        pthread_mutex_lock(&j->lock);
        const bool ended = job->ended;
        if (ended) { /* readers of the figures see it, or not */
            if (j->ending && !j->status) j->status = job->status;
            memmove(&j->jobs[i], &j->jobs[i + 1], (j->count - i - 1) * sizeof *j->jobs);
            j->count--;
        }
        pthread_mutex_unlock(&j->lock);
        if (!ended) {
            left += !job->mirror.name == receivers;
            i++;
            continue;
        }
        pthread_join(job->thread, NULL);
        prog_say("%s %s: ended\n", job->mirror.name ? "mirror" : "receiver", job->name);
        job->started = false;
        free_job(job);
    }
    fflush(stdout);
    return left;
}

void wan_jobs_free(wan_jobs *j)
{
    assert(!j->count);
    for (uint32_t i = 0; i < j->destination_count; i++) free(j->destinations[i].address);
    wan_config_free(&j->config);
    pthread_cond_destroy(&j->changed);
    pthread_mutex_destroy(&j->lock);
}
