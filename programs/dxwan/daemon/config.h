/* The configuration of `dxwan daemon`, a TOML file; docs/wan-daemon.md lists its keys. */
#ifndef WAN_CONFIG_H
#define WAN_CONFIG_H

#include "../wan.h"

enum { WAN_MIRRORS_MAX = 64, WAN_RECEIVERS_MAX = 64, WAN_LABEL_MAX = 64 };

typedef struct wan_mirror_config {
    char    *name;    /* in messages and metrics */
    char    *file;
    char    *address; /* of a receiver */
    char    *as;      /* the name that the receiver is told; NULL: that of the file */
    char    *tls_name; /* in the receiver's certificate; NULL: the host of `address` */
    char    *like;    /* a second image, that the receiver has, too; NULL: none */
    uint64_t every_s;
} wan_mirror_config;

typedef struct wan_receiver_config {
    char    *name;
    char    *address; /* to listen on */
    char    *out;     /* a directory, or a file */
    uint64_t size_max;
    bool     force;
    char    *tls_name; /* in the sender's certificate; NULL: any */
} wan_receiver_config;

typedef struct wan_config {
    const char *path;          /* of its file; borrowed */
    bool     enabled;          /* false: mirrors copy whole regions as they are, over one connection */
    uint64_t drain_s;          /* from SIGTERM to the end of transfers that have not completed */
    /* [transport] */
    char    *mode;
    uint64_t min_streams;
    uint64_t max_streams;
    uint64_t initial_streams;
    double   stream_scaling_factor;
    uint64_t connect_timeout_ms;
    uint64_t timeout_ms;
    uint64_t send_buffer_bytes;
    uint64_t recv_buffer_bytes;
    bool     pacing;
    uint64_t pacing_rate;      /* bytes a second, of each mirror */
    char    *congestion_control;
    bool     rdma;
    char    *tls_cert;         /* PEM files; NULL: none */
    char    *tls_key;
    char    *tls_ca;
    /* [compression] */
    char    *algorithm;
    uint64_t level;
    bool     delta;
    char    *delta_algorithm;
    bool     dictionary;
    uint64_t dictionary_update_s;
    bool     adaptive;
    double   adaptive_threshold;
    double   min_ratio;
    bool     baseline_sync;
    uint64_t baseline_sync_ms;
    uint64_t pruning_s;
    /* [health], [metrics], [recovery], [breaker] */
    uint64_t health_ms;
    uint64_t metrics_ms;
    char    *metrics_address;  /* NULL: none */
    uint64_t tries;
    uint64_t backoff_ms;
    uint64_t failures;
    uint64_t open_ms;
    /* Later phases: checked, and refused when enabled */
    bool     prediction, partitioner, sync, consensus, resilience;
    char    *model;
    uint64_t model_update_s, horizon_s, history_s;
    double   confidence;
    char    *conflict;
    uint64_t sync_interval_ms, sync_timeout_ms;
    char    *consensus_algorithm;
    uint64_t nodes_min, election_ms, heartbeat_ms;
    /* [[mirror]], [[receiver]] */
    wan_mirror_config   mirrors[WAN_MIRRORS_MAX];
    uint32_t            mirror_count;
    wan_receiver_config receivers[WAN_RECEIVERS_MAX];
    uint32_t            receiver_count;
} wan_config;

/* Read and check a file. PROG_NOT_FOUND, PROG_USAGE: a message gives the error and its line. Free
   *c also after an error. */
int  wan_config_read(wan_config *c, const char *path);
void wan_config_free(wan_config *c);
/* Set the files of TLS, which all mirrors and receivers have; borrowed. */
void wan_config_tls(const wan_config *c, wan_options *o);
/* NULL, or the name of the first section that differs, apart from mirrors and receivers. */
const char *wan_config_differs(const wan_config *a, const wan_config *b);
bool wan_mirror_same(const wan_mirror_config *a, const wan_mirror_config *b);
bool wan_receiver_same(const wan_receiver_config *a, const wan_receiver_config *b);

#endif
