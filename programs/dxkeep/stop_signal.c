/* --stop-signal. See stop_signal.h. */
#include "stop_signal.h"

#include <signal.h>
#include <string.h>

static int stop_signal = SIGTERM;

bool keep_stop_signal_set(const char *name)
{
    static const struct {
        const char *name;
        int         number;
    } known[] = {{"TERM", SIGTERM}, {"INT", SIGINT},   {"QUIT", SIGQUIT}, {"HUP", SIGHUP},
                 {"USR1", SIGUSR1}, {"USR2", SIGUSR2}, {"KILL", SIGKILL}};
    if (!name) return true;
    if (!strncmp(name, "SIG", 3)) name += 3;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(name, known[i].name) != 0) continue;
        stop_signal = known[i].number;
        return true;
    }
    return false;
}

int keep_signal_for_program(int number) { return number == SIGTERM ? stop_signal : number; }
