#!/bin/bash
# Which cases of a suite run: those whose names contain one of the arguments, without those that contain X of an
# argument -X. DX_CASES: whole names, the only ones to run; tests/run.sh repeats failed cases in this way. Sourced
# by the tests of the programs, before they change their folder.
filters=("$@")
wanted() { # CASE
    local f only=
    case " ${DX_CASES:-$1} " in *" $1 "*) ;; *) return 1 ;; esac
    for f in "${filters[@]}"; do
        case $f in -*) case $1 in *"${f#-}"*) return 1 ;; esac ;; *) only=yes ;; esac
    done
    [ -n "$only" ] || return 0
    for f in "${filters[@]}"; do
        case $f in -*) ;; *) case $1 in *"$f"*) return 0 ;; esac ;; esac
    done
    return 1
}
