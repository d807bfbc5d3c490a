#!/bin/bash
# For the benches' scripts: what they measure against is installed where that is allowed and works, quietly.
header() { echo "#include <$1>" | ${CC:-cc} -x c -fsyntax-only - 2>/dev/null; }
install_package() { # PACKAGE...
    command -v apt-get >/dev/null || return 1
    local as=
    [ "$(id -u)" = 0 ] || as="sudo -n"
    $as env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" </dev/null >/dev/null 2>&1 && return 0
    $as apt-get update -q >/dev/null 2>&1
    $as env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" </dev/null >/dev/null 2>&1
}
