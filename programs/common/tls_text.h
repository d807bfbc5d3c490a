/* The library of TLS as --version names it, with the version that the program is built with. PROG_HAS_TLS is defined before if
   it is. */
#ifndef PROG_TLS_TEXT_H
#define PROG_TLS_TEXT_H

#ifndef PROG_HAS_TLS
#define PROG_TLS_TEXT "no TLS"
#else
#include <openssl/opensslv.h>
#ifdef OPENSSL_VERSION_STR
#define PROG_TLS_TEXT "OpenSSL " OPENSSL_VERSION_STR
#else
#define PROG_TLS_TEXT OPENSSL_VERSION_TEXT
#endif
#endif

#endif
