#!/bin/bash
# Whole trees: dxup beside restic, borg, casync, git, tar with zstd and cp -a. Writes bench/results/trees.csv and trees.md, in which
# each aim stands with its bar and what was reached.
# usage: bench_trees.sh [NAME=DIRECTORY...]    without one: the corpora of CORPORA, unpacked once from npm and Debian packages
# CORPORA=pubts (four typescripts and four react-doms, about 130 MB: a few minutes), pubver (1.16 GB) and pubnm (many small files):
# an hour. Where npm is not to be had: a copy of this machine's headers and Python modules, which is called "machine".
# WORK=where copies and stores are made (build/trees.d), ROUNDS=5, TOOLS="dxup restic ...", RUN=a command before each that is measured
# GC=1: also git gc and dxup gc --pack, in the end.
# LIMIT=300: seconds after which no further round begins. Tools that are missing are installed where that is allowed (Debian:
# restic borgbackup casync git zstd), else named and left out.
set -u
cd "$(dirname "$0")/.." || exit 1
top=$PWD
work=${WORK:-build/trees.d}
mkdir -p "$work" bench/results
work=$(cd "$work" && pwd)
raw=$work/raw
: >"$raw"
. bench/bench_deps.sh
export RESTIC_PASSWORD=bench XDG_CACHE_HOME=$work/cache BORG_BASE_DIR=$work/borg BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes
tools=
for t in ${TOOLS:-dxup restic borg casync git zstd cp}; do
    case $t in
        dxup) [ -x build/dxup ] ;;
        borg) command -v borg >/dev/null || { install_package borgbackup && command -v borg >/dev/null; } ;;
        *) command -v $t >/dev/null || { install_package $t && command -v $t >/dev/null; } ;;
    esac && tools="$tools $t" || echo "not here: $t" >&2
done

# >>corpora
npm_package() { # DIRECTORY PACKAGE
    local tar folder
    tar=$(cd "$work" && npm pack --silent "$2") || { echo "not to be had: $2" >&2; return; }
    folder=$1/${tar%.tgz}
    mkdir -p "$folder"
    tar xzf "$work/$tar" -C "$folder" --strip-components=1
    rm "$work/$tar"
}
pubver() { # eight typescripts, eight esbuilds, six react-doms, three nexts, two kernels: many versions of a few things
    local p
    for p in typescript@{5.2.2,5.3.3,5.4.5,5.5.4,5.6.3,5.7.3,5.8.3,5.9.3} @esbuild/linux-x64@0.{27.0,27.2,27.4,27.6,27.7,28.0,28.1,28.2} \
        react-dom@19.{1.0,2.0,2.4,2.8,3.0,3.1} next@16.4.{4,5,6}; do npm_package "$1" $p; done
    for p in $(apt-cache search '^linux-image-6.1.0-[0-9]*-cloud-amd64$' | cut -d ' ' -f 1 | sort | tail -n 2); do
        (cd "$work" && apt-get download -qq "$p" 2>/dev/null && dpkg-deb -x "$p"_*.deb "$1/$p" && rm "$p"_*.deb)
    done
}
pubts() { # four typescripts, four react-doms: versions of a few things, small enough for every day
    local p
    for p in typescript@{5.6.3,5.7.3,5.8.3,5.9.3} react-dom@19.{1.0,2.0,2.4,2.8}; do npm_package "$1" $p; done
}
machine() { # what is here anyway
    cp -a /usr/include "$1/include"
    cp -a /usr/lib/python3 /usr/lib/python3.* "$1/" 2>/dev/null
    find "$1" -type f -size +4M -delete
}
pubnm() { # many small files
    local p
    for p in @mui/icons-material @mui/material date-fns core-js rxjs lodash @fluentui/svg-icons @tabler/icons caniuse-lite aws-sdk; do npm_package "$1" $p; done
}

# >>measuring
# Prints wall seconds, processor seconds, peak MB of the largest process.
cat >"$work/measure.py" <<'END'
import os, resource, subprocess, sys, time
peak = sys.argv[1] + ".peak"
small = ["/usr/bin/time", "-q", "-f", "%M", "-o", peak] if os.path.exists("/usr/bin/time") else []
before = resource.getrusage(resource.RUSAGE_CHILDREN) # of what started this interpreter, perhaps
begin = time.monotonic()
status = subprocess.run(small + sys.argv[2:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL).returncode
wall = time.monotonic() - begin
use = resource.getrusage(resource.RUSAGE_CHILDREN)
peak = float(open(peak).read()) if small else use.ru_maxrss # the latter is never below that of this program
open(sys.argv[1], "w").write("%.3f,%.3f,%.1f" % (wall, use.ru_utime + use.ru_stime - before.ru_utime - before.ru_stime, peak / 1024))
sys.exit(status)
END
step() { # TOOL STEP COMMAND...
    local tool=$1 what=$2
    shift 2
    ${RUN:-} python3 "$work/measure.py" "$work/figures" "$@" 2>"$work/errors" || { echo "failed: $tool $what: $(tail -n 2 "$work/errors")" >&2; return; }
    echo "$corpus,$tool,$what,$(cat "$work/figures"),$(stored $tool)" >>"$raw"
    echo "  $tool $what $(cat "$work/figures") $(stored $tool)" >&2
}
stored() { du -sb --apparent-size "$work/$1.store" 2>/dev/null | cut -f 1; }

ingest() { # TOOL STEP      of the directory tree in $work
    local s=$work/$1.store
    cd "$work" || return
    case $1 in
        dxup) step $1 $2 "$top/build/dxup" publish "$s" t tree ;;
        restic) [ -d "$s" ] || restic init -q -r "$s"; step $1 $2 restic backup -q -r "$s" tree ;;
        borg) [ -d "$s" ] || borg init -e none "$s"; step $1 $2 borg create -C zstd,3 "$s::$2" tree ;;
        casync) mkdir -p "$s"; step $1 $2 casync make --store="$s/store.castr" "$s/$2.caidx" tree ;;
        git) [ -d "$s" ] || git init -q "$s"
            step $1 $2 bash -c "git --git-dir='$s/.git' --work-tree=tree add -A -f && git --git-dir='$s/.git' --work-tree=tree -c user.name=b -c user.email=b -c gc.auto=0 commit -q --allow-empty -m $2" ;;
        zstd) mkdir -p "$s"; step $1 $2 bash -c "tar c tree | zstd -3 -q -f -o '$s/tree.tar.zst'" ;;
        cp) mkdir -p "$s"; rm -rf "$s/tree"; [ $2 = again ] || step $1 $2 cp -a tree "$s/tree" ;;
    esac
    cd "$top" || exit 1
}
restore() { # TOOL      of what was ingested as "changed"
    local s=$work/$1.store out=$work/out
    rm -rf "$out"
    mkdir "$out"
    sync -f "$out"
    cd "$work" || return
    case $1 in
        dxup) rmdir "$out"; step $1 restore "$top/build/dxup" checkout "$s" t "$out" ;;
        restic) step $1 restore restic restore -q -r "$s" latest --target "$out" ;;
        borg) step $1 restore bash -c "cd '$out' && borg extract '$s::changed'" ;;
        casync) step $1 restore casync extract --store="$s/store.castr" "$s/changed.caidx" "$out/tree" ;;
        git) step $1 restore bash -c "export GIT_INDEX_FILE='$s/.git/other'; git --git-dir='$s/.git' read-tree HEAD && cd '$out' && git --git-dir='$s/.git' --work-tree=. checkout-index -a" ;;
        zstd) step $1 restore bash -c "zstd -d -q -c '$s/tree.tar.zst' | tar x -C '$out'" ;;
        cp) step $1 restore cp -a "$s/tree" "$out/tree"
            rm -rf "$out" && mkdir "$out" && sync -f "$out"
            step cp restore+sync bash -c "cp -a '$s/tree' '$out/tree' && sync -f '$out'" ;;
    esac
    local same=$out/tree
    [ -d "$same" ] || same=$out
    [ "$1" = casync ] || diff -r --no-dereference tree "$same" >/dev/null || echo "DIFFERS: $1 restored another tree" >&2
    rm -rf "$out"
    cd "$top" || exit 1
}
verify() { # TOOL
    local s=$work/$1.store
    case $1 in
        dxup) step $1 verify build/dxup verify "$s" ;;
        restic) step $1 verify restic check -q --read-data -r "$s" ;;
        borg) step $1 verify borg check --verify-data "$s" ;;
        git) step $1 verify git --git-dir="$s/.git" fsck --full --no-progress ;;
        zstd) step $1 verify zstd -t -q "$s/tree.tar.zst" ;;
    esac
}
collect() { # TOOL
    local s=$work/$1.store
    case ${GC:-}$1 in
        ?*git) step git gc git --git-dir="$s/.git" gc -q --prune=now ;;
        ?*dxup) step dxup gc build/dxup gc "$s" --pack ;;
    esac
}
change() { # SEED      64 bytes are inserted somewhere in 1 % of the files
    python3 - "$work/tree" "$1" <<'END'
import os, random, sys
random.seed(int(sys.argv[2]))
files = sorted(os.path.join(d, f) for d, _, fs in os.walk(sys.argv[1]) for f in fs if not os.path.islink(os.path.join(d, f)))
for f in random.sample(files, max(1, len(files) // 100)):
    data = open(f, "rb").read()
    at = random.randint(0, len(data))
    open(f, "wb").write(data[:at] + random.randbytes(64) + data[at:])
END
}
bench() { # NAME DIRECTORY
    local round t
    corpus=$1
    for round in $(seq "${ROUNDS:-5}"); do
        [ $round = 1 ] || [ $SECONDS -lt "${LIMIT:-300}" ] || { echo "$1: $((round - 1)) rounds were as many as the time allows" >&2; break; }
        echo "$1, round $round" >&2
        rm -rf "$work"/*.store "$work/tree" "$work/cache" "$work/borg"
        cp -a "$2" "$work/tree"
        chmod -R u+w "$work/tree"
        sync -f "$work"
        sleep 2.1
        cat $(find "$work/tree" -type f -size +1M | head -n 2000) >/dev/null # in memory for all
        for t in $tools; do ingest $t ingest; ingest $t again; done
        change "$round"
        sleep 2.1
        sync -f "$work"
        for t in $tools; do ingest $t changed; done
        for t in $tools; do verify $t; restore $t; collect $t; rm -rf "$work/$t.store"; done
    done
    rm -rf "$work/tree"
}

if [ $# = 0 ]; then
    for c in ${CORPORA:-pubts}; do
        [ -d "$work/$c" ] || { rm -rf "$work/$c.new" && mkdir "$work/$c.new" && $c "$work/$c.new" && mv "$work/$c.new" "$work/$c"; }
        if [ -z "$(ls -A "$work/$c")" ]; then
            rmdir "$work/$c"
            c=machine
            [ -d "$work/$c" ] || { mkdir "$work/$c" && machine "$work/$c"; }
        fi
        set -- "$@" "$c=$work/$c"
    done
    SECONDS=0 # getting them does not count
fi
for c; do bench "${c%%=*}" "$(cd "${c#*=}" && pwd)"; done
{
    echo "# $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores, load $(cut -d ' ' -f 1 /proc/loadavg); medians of at most ${ROUNDS:-5} rounds; on $(stat -f -c %T "$work")"
    for c; do d=${c#*=}; echo "# ${c%%=*}: $(find "$d" -type f | wc -l) files, $(du -sb "$d" | cut -f 1) bytes"; done
    for t in $tools; do case $t in restic) restic version ;; dxup) ;; *) $t --version 2>&1 | head -n 1 ;; esac done | sed 's/^/# /'
    python3 - "$raw" <<'END'
import statistics, sys
rows = {}
for line in open(sys.argv[1]):
    f = line.rstrip("\n").split(",")
    rows.setdefault(tuple(f[:3]), []).append([float(x or 0) for x in f[3:]])
print("corpus,tool,step,wall_s,cpu_s,peak_mb,stored_bytes,added_bytes")
stored = {k[:2]: statistics.median(r[3] for r in v) for k, v in rows.items() if k[2] == "again"}
for k, v in rows.items():
    wall, cpu, peak, size = (statistics.median(r[i] for r in v) for i in range(4))
    added = size - stored.get(k[:2], size) if k[2] == "changed" else 0
    print("%s,%s,%s,%.2f,%.2f,%.1f,%d,%d" % (*k, wall, cpu, peak, size, added))
END
} >bench/results/trees.csv
rm -rf "$work"/*.store "$raw" "$work"/figures* "$work/errors" "$work/measure.py" "$work/cache" "$work/borg"
python3 bench/bench_bars.py trees bench/results/trees.csv >bench/results/trees.md
sed -n '/^| corpus/,$p' bench/results/trees.md
