/* Can a configuration start? What it names is looked at: files, directories, TLS, addresses. Nothing is created,
   changed or waited for: files of mirrors are not opened, and an address is only bound for a moment.

   Each fault has a message with the section and the key, the same for --check-config, a start and SIGHUP. All faults are
   said, and the status is that of the first one. */
#ifndef WAN_CHECK_H
#define WAN_CHECK_H

#include "config.h"

/* All of it. metrics: the address of --metrics-addr, which replaces that of [metrics]; NULL: it was not given. Whether
   another process listens on an address is not looked at: that may be the daemon itself. */
int wan_check(const wan_config *c, const char *metrics);
/* The files of [transport] only, which every run reads again. */
int wan_check_tls(const wan_config *c);
/* One that SIGHUP adds. */
int wan_check_mirror(const wan_config *c, const wan_mirror_config *m);
int wan_check_receiver(const wan_config *c, const wan_receiver_config *q);

#endif
