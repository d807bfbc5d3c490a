#!/bin/sh
# A schema that no longer begins with its frozen version must not compile, and must say why; so must
# schemas that break a rule. From the repository root; CC is the compiler (cc).
set -u
CC=${CC:-cc}
CXX=${CXX:-c++}
command -v "$CXX" >/dev/null || CXX=none
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
failed=0
V1='F(u64, id) S(name) F(u8, age) E(u8, colour, 3) A(u8, hash, 4)'

# try NAME FIELDS: is the schema with these fields still compatible with version 1?
try()
{
    cat > "$dir/$1.c" <<END
#include "dx_teleport.h"
#define FROZEN_1(F, S, A, L, E, V, ...) $V1
#define NOW(F, S, A, L, E, V, ...) $2
DX_TELEPORT_DEFINE(user, NOW)
DX_TELEPORT_FROZEN(user, NOW, 1, FROZEN_1)
END
    "$CC" -std=c99 -Wall -Wextra -I. -fsyntax-only "$dir/$1.c" 2> "$dir/$1.err"
}

good()
{
    try "$1" "$2" && return
    echo "teleport_frozen: $1 must compile:"; cat "$dir/$1.err"; failed=1
}

# bad NAME WORD FIELDS: must fail, and the message must contain WORD
bad()
{
    if try "$1" "$3"; then echo "teleport_frozen: $1 compiles"; failed=1; return; fi
    grep -q "$2" "$dir/$1.err" && return
    echo "teleport_frozen: $1 fails without '$2':"; cat "$dir/$1.err"; failed=1
}

good same      "$V1"
good appended  "$V1 V(2) F(u16, x) L(f32, y)"
good more_enum 'F(u64, id) S(name) F(u8, age) E(u8, colour, 9) A(u8, hash, 4) V(2) F(u16, x)'
good third     "$V1 V(2) F(u8, x) V(3) S(z)"

bad renamed    offset_age   'F(u64, id) S(name) F(u8, years) E(u8, colour, 3) A(u8, hash, 4)'
bad swapped    moved_age    'F(u64, id) S(name) E(u8, colour, 3) F(u8, age) A(u8, hash, 4)'
bad retyped    retyped_age  'F(u64, id) S(name) F(i8, age) E(u8, colour, 3) A(u8, hash, 4)'
bad wider      moved_hash   'F(u64, id) S(name) F(u16, age) E(u8, colour, 3) A(u8, hash, 4)'
bad made_list  retyped_name 'F(u64, id) L(u8, name) F(u8, age) E(u8, colour, 3) A(u8, hash, 4)'
bad longer     retyped_hash 'F(u64, id) S(name) F(u8, age) E(u8, colour, 3) A(u8, hash, 5)'
bad removed    offset_hash  'F(u64, id) S(name) F(u8, age) E(u8, colour, 3)'
bad inserted   moved_age    'F(u64, id) S(name) F(u8, x) F(u8, age) E(u8, colour, 3) A(u8, hash, 4)'
bad in_padding has_all      "$V1 F(u16, x)"
bad late_mark  has_all      "$V1 F(u8, x) V(2) F(u8, y)"
bad early_mark version_changed_hash \
    'F(u64, id) S(name) F(u8, age) E(u8, colour, 3) V(2) A(u8, hash, 4)'
bad less_enum  range_reduced_colour 'F(u64, id) S(name) F(u8, age) E(u8, colour, 2) A(u8, hash, 4)'

bad gap        versions_count_up_3 "$V1 V(3) F(u8, x)"
bad long_name  name_of_up_to_48 "$V1 V(2) F(u8, a2345678901234567890123456789012345678901234567890)"
bad enum_range range_fits 'F(u64, id) S(name) F(u8, age) E(u8, colour, 257) A(u8, hash, 4)'
bad enum_all   range_fits 'F(u64, id) S(name) F(u8, age) E(u32, colour, 4294967296) A(u8, hash, 4)'
bad array_size array_below_2_gib "$V1 V(2) A(u64, x, 300000000)"
bad enum_type  enum_is_u8_u16_u32 'F(u64, id) S(name) F(u8, age) E(u64, colour, 3) A(u8, hash, 4)'
bad no_type    string 'F(string, id) S(name) F(u8, age) E(u8, colour, 3) A(u8, hash, 4)'

# A nested record is of one version and frozen, too: a change to it is an error.
V1='F(u64, id) N(inner, 1, one) R(inner, 1, many) O(u8, maybe)'
INNER_1='F(u8, a) S(b)'
try()
{
    cat > "$dir/$1.c" <<END
#include "dx_teleport.h"
#define DEEP_1(F, S, A, L, E, V, ...) F(u8, x)
#define DEEP(F, S, A, L, E, V, ...) $DEEP
#define INNER_1(F, S, A, L, E, V, N, R, O, ...) $INNER_1
#define INNER(F, S, A, L, E, V, N, R, O, ...) $INNER
#define FROZEN_1(F, S, A, L, E, V, N, R, O, ...) $V1
#define NOW(F, S, A, L, E, V, N, R, O, ...) $2
DX_TELEPORT_DEFINE(deep, DEEP)
DX_TELEPORT_DEFINE(inner, INNER)
DX_TELEPORT_DEFINE(twin, INNER)
DX_TELEPORT_DEFINE(outer, NOW)
$FREEZE
DX_TELEPORT_FROZEN(outer, NOW, 1, FROZEN_1)
END
    "$CC" -std=c99 -Wall -Wextra -I. -fsyntax-only "$dir/$1.c" 2> "$dir/$1.err" &&
        { [ "$CXX" = none ] || "$CXX" -std=c++11 -Wall -Wextra -I. -fsyntax-only -x c++ "$dir/$1.c" 2> "$dir/$1.err"; }
}
DEEP='F(u8, x)' INNER=$INNER_1
FREEZE='DX_TELEPORT_FROZEN(deep, DEEP, 1, DEEP_1)
DX_TELEPORT_FROZEN(inner, INNER, 1, INNER_1)
DX_TELEPORT_FROZEN(twin, INNER, 1, INNER_1)'
good nested "$V1"
good nested_more "$V1 V(2) R(inner, 1, more) R(twin, 1, others) O(f64, x)"
bad option_retyped retyped_maybe 'F(u64, id) N(inner, 1, one) R(inner, 1, many) F(u8, maybe)'
bad list_of_another type_of_many 'F(u64, id) N(inner, 1, one) R(twin, 1, many) O(u8, maybe)'
bad record_of_another type_of_one 'F(u64, id) N(twin, 1, one) R(inner, 1, many) O(u8, maybe)'
INNER="$INNER_1 V(2) F(u8, c)"
bad inner_changed version_of_the_type_changed_many "$V1"
bad inner_renumbered retyped_many 'F(u64, id) N(inner, 2, one) R(inner, 2, many) O(u8, maybe)'
INNER='F(i8, a) S(b)'
bad inner_retyped inner_frozen_1_retyped_a "$V1"
INNER='F(u8, z) S(b)'
bad inner_renamed inner_offset_a "$V1"
INNER='F(u8, a) S(b) F(u8, c)'
bad inner_appended inner_frozen_1_has_all_fields "$V1"
INNER=$INNER_1
FREEZE='DX_TELEPORT_FROZEN(twin, INNER, 1, INNER_1)'
bad inner_not_frozen inner_is_frozen_at_version_1 "$V1"

# This applies down to the innermost type.
INNER_1='F(u8, a) N(deep, 1, b)' INNER=$INNER_1
FREEZE='DX_TELEPORT_FROZEN(deep, DEEP, 1, DEEP_1)
DX_TELEPORT_FROZEN(inner, INNER, 1, INNER_1)'
good deep "$V1"
DEEP='F(i8, x)'
bad deep_retyped deep_frozen_1_retyped_x "$V1"
FREEZE='DX_TELEPORT_FROZEN(inner, INNER, 1, INNER_1)'
bad deep_not_frozen deep_is_frozen_at_version_1 "$V1"
exit $failed
