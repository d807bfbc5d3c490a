/* The command line of DiffKeeper, for those who follow its document:

       dxkeep --state-dir=DIR --store=STORE [FLAG...] [-- PROGRAM [ARGUMENT...]] */
#ifndef DXKEEP_DIFFKEEPER_H
#define DXKEEP_DIFFKEEPER_H

#include "keep.h"

/* Does the command line, without the program's name, begin with one of its flags? */
bool keep_is_diffkeeper(int argc, char **argv);
/* Fill *o and *command from the flags and the variables DIFFKEEPER_*; flags win. PROG_USAGE, with a
   message: an unknown flag, an invalid value, something that dxkeep does not do. */
int  keep_diffkeeper_parse(int argc, char **argv, keep_options *o, int *command);

#endif
