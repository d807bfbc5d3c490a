/* The mirrors and receivers of a daemon, each on a thread. One that fails is tried again: after
   1, 2, 4 s, and to a destination that failed several times only when its breaker allows it. */
#ifndef WAN_JOBS_H
#define WAN_JOBS_H

#include "../net/figures.h"
#include "../net/loop.h"
#include "../net/refusals.h"
#include "breaker.h"
#include "config.h"

enum { WAN_JOBS_MAX = WAN_MIRRORS_MAX + WAN_RECEIVERS_MAX };

typedef struct wan_destination {
    char       *address;
    wan_breaker breaker;
    bool        down;    /* the last attempt to connect failed, all->lock */
} wan_destination;

struct wan_jobs;

typedef struct wan_job {
    struct wan_jobs    *all;
    wan_mirror_config   mirror;   /* one of both has a name; copies */
    wan_receiver_config receiver;
    const char         *name;
    wan_options         o;
    wan_ender           ender;
    wan_figures         figures;  /* of a mirror */
    wan_destination    *to;       /* of a mirror */
    wan_refusals        refusals; /* of a receiver */
    pthread_t           thread;
    bool                started;
    bool                ended;    /* all->lock */
    uint64_t            received; /* files, all->lock */
    int                 status;   /* of its last run, all->lock */
} wan_job;

typedef struct wan_jobs {
    pthread_mutex_t lock;
    pthread_cond_t  changed;
    int           (*mirror)(const wan_options *o); /* the commands that run on the threads */
    int           (*receive)(const wan_options *o);
    wan_config      config;       /* in force */
    wan_job        *jobs[WAN_JOBS_MAX];
    uint32_t        count;
    wan_destination destinations[WAN_MIRRORS_MAX];
    uint32_t        destination_count;
    bool            ending;
    int             status;       /* the first failure of a job that was asked to end with all */
} wan_jobs;

/* Take over *config. The functions are those of the commands. */
void wan_jobs_open(wan_jobs *j, wan_config *config, int (*mirror)(const wan_options *o),
                   int (*receive)(const wan_options *o));
/* Start everything that it names, or nothing: a message says why. The caller has called wan_check(). */
int  wan_jobs_start(wan_jobs *j);
/* The same with another configuration: what it names in addition starts, what it names no longer ends.
   That is checked here. PROG_USAGE: it changes what runs; then, and if something cannot start, all is as before. */
int  wan_jobs_reload(wan_jobs *j, wan_config *config);
/* Ask mirrors (then receivers) to end. now: without a last round. */
void wan_jobs_ask(wan_jobs *j, bool receivers, bool now);
/* Join the threads that have ended. Returns how many mirrors (receivers) remain. */
uint32_t wan_jobs_reap(wan_jobs *j, bool receivers);
/* Free everything; nothing runs any more. */
void wan_jobs_free(wan_jobs *j);

#endif
