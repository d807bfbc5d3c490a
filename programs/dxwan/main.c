/* dxwan: the command line. wan.h lists the files. */
#include "wan.h"

#include "../common/os.h"

static int (*const runs[WAN_COMMANDS])(const wan_options *o) = {
    [WAN_SEND] = wan_send,
    [WAN_RECV] = wan_recv,
    [WAN_MIRROR_FILE] = wan_mirror,
    [WAN_PROBE_PATH] = wan_probe,
    [WAN_DAEMON] = wan_daemon,
};

/* Fill *o. argv begins after the command. */
static int parse(wan_options *o, int command, int argc, char **argv)
{
    char *plain[PROG_PLAIN_MAX];
    int status = prog_arguments_parse(&wan_program, command, argc, argv, o, plain);
    if (status) return status;
    if (command == WAN_DAEMON) {
        o->config = os_path((char *)(uintptr_t)o->config);
    } else if (command == WAN_PROBE_PATH) {
        o->address = plain[0];
    } else if (command == WAN_RECV) {
        o->address = plain[0];
        o->out = os_path((char *)(uintptr_t)o->out);
    } else {
        o->file = os_path(plain[0]);
        o->address = plain[1];
    }
    o->tls_cert = os_path((char *)(uintptr_t)o->tls_cert);
    o->tls_key = os_path((char *)(uintptr_t)o->tls_key);
    o->tls_ca = os_path((char *)(uintptr_t)o->tls_ca);
    if (o->quiet || o->json) prog_progress_off();
    return PROG_OK;
}

int main(int argc, char **argv)
{
    wan_options o = {.out = ".", .streams = 16, .timeout_ns = 60000000000, .size_max = (uint64_t)1 << 40,
                     .every_ns = 1000000000, .pause_ns = 10000000000, .seconds_ns = 3000000000, .listener = -1};
    int command;
    prog_begin("dxwan", &argc, &argv);
    int status = prog_choose(&wan_program, argc, argv, &command);
    if (!status && command >= 0) status = parse(&o, command, argc - 2, argv + 2);
    if (!status && command >= 0) status = runs[command](&o);
    return prog_end(status);
}
