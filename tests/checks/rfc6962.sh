#!/bin/bash
# The Merkle tree of layers/dx_merkle.h is that of RFC 6962: with SHA-256 the vectors of Certificate Transparency hold.
. "$(dirname "$0")/lib.sh"
vectors() {
    $CC -std=c11 -Wall -Wextra tests/checks/compile/rfc6962.c -o "$work/rfc6962" || return
    "$work/rfc6962"
}
try "vectors of Certificate Transparency" vectors
finish
