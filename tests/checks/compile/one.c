/* One header, configured by the command line: -DHEADER='"dx_cas.h"' and none,
   some or all of -DDX_IMPLEMENTATION -DDX_CAS_IMPLEMENTATION
   -DDX_CAS_STATIC. */
#include HEADER
#include HEADER
