/* The parameters of a write, from the JSON body of a request. */
#ifndef DXDB_BODY_H
#define DXDB_BODY_H

#include "dxdb.h"

/* Read an object whose members are exactly these parameters, in any order. A string is its text,
   null an SQL NULL, anything else what was written: PostgreSQL reads numbers, booleans and, for a
   parameter of type json, arrays and objects. Returns NULL, or the error. texts: `size` bytes or
   more; values point into it. */
const char *dxdb_body_parse(const char *json, size_t size, char *const *names, uint32_t count,
                            char *texts, const char **values);

#endif
