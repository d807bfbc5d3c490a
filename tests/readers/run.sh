#!/bin/bash
# Readers in other languages, driven by dx_dump_schema(): their results match dx_dump_record(), and they refuse what
# dx_teleport.h refuses, with the same error: the cases of tests/vectors/teleport_readers.json, and randomly damaged records.
# DX_TEST_RUNS=n multiplies their number; DX_TEST_SEED=n: others.
set -u
cd "$(dirname "$0")/../.." || exit 1
count=$((400 * ${DX_TEST_RUNS:-1})) passed=0 failed=0 skipped=0
mkdir -p build/readers
case_of() { # NAME COMMAND...
    name=$1
    shift
    if "$@" >build/readers/log 2>&1; then echo "ok   $name: $(tail -n 1 build/readers/log)"; passed=$((passed + 1))
    else echo "FAIL $name: $(head -c 2000 build/readers/log)"; failed=$((failed + 1)); fi
}
tool() { # NAME COMMAND TOOL: skipped without it
    command -v "$3" >/dev/null && return
    echo "skip $1: $3 is not installed"
    skipped=$((skipped + 1))
    return 1
}
vectors=tests/vectors/teleport_readers.json
reader() { # COMMAND...
    "$@" <build/readers/samples.json
}
agrees() { # COMMAND...
    "$@" <$vectors
}
run() { # ARGUMENTS
    $(setarch -R true 2>/dev/null && echo setarch -R) build/readers/samples "$@"
}
small() { # FILE MOST: the size sent to a browser, without comments and indentation
    size=$(sed -E 's|^ *//.*||; s/^ +//' "$1" | grep -v '^$' | gzip -9n | wc -c)
    echo "$1: $size bytes gzipped"
    [ "$size" -lt "$2" ]
}
samples() {
    ${CC:-cc} -std=c11 -g -O1 -Wall -Wextra -fsanitize=address,undefined -fno-sanitize-recover=all tests/readers/samples.c -o build/readers/samples &&
        run $count "${DX_TEST_SEED:-0}" >build/readers/samples.json && wc -l <build/readers/samples.json
}
in_c() {
    run vectors >build/readers/vectors.json && cmp build/readers/vectors.json $vectors && grep -c '^{"name' $vectors
}
case_of samples samples
case_of 'vectors, in C' in_c
tool javascript node node && case_of javascript reader node tests/readers/read.mjs && case_of 'vectors, in JavaScript' agrees node tests/readers/read.mjs
tool python python3 python3 && case_of python reader python3 tests/readers/read.py && case_of 'vectors, in Python' agrees python3 tests/readers/read.py
case_of size small examples/www/teleport.js 2048
echo "readers: $passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
