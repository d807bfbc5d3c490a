#!/bin/bash
# Power cuts under a real kernel: `dxup publish` on an ext4 of a user-mode Linux, whose disk stops taking writes at a random moment
# (device mapper, flakey: drop_writes); then e2fsck, and the store must verify and hold every version that was acknowledged.
# usage: powercut.sh [CUTS]        needs root, user-mode-linux, dmsetup, e2fsprogs, build/dxup
set -u
cd "$(dirname "$0")/../.." || exit 1
top=$PWD cuts=${1:-20} t=/tmp

if [ "${2:-}" = inside ]; then # the job of the emulated machine; /tmp is its own, in memory
    dxup=$3
    disk=/dev/dm-0
    mkdir -p $t/m $t/in
    truncate -s 64M $t/image && losetup /dev/loop0 $t/image || exit 1
    sectors=$(blockdev --getsz /dev/loop0)
    good="0 $sectors linear /dev/loop0 0" cut="0 $sectors flakey /dev/loop0 0 0 3600 1 drop_writes"
    table() { dmsetup suspend --noudevsync --nolockfs --noflush cut && dmsetup load cut --table "$1" && dmsetup resume --noudevsync cut; }
    dmsetup create --noudevsync cut --table "$good" || exit 1
    mkfs.ext4 -q -F "$disk" || exit 1
    mount -t ext4 "$disk" $t/m || exit 1
    version() { # N: what version N of the tree is; prints nothing
        rm -rf $t/in/*
        for i in 1 2 3 4; do
            { echo "version $1 file $i"; head -c $((RANDOM * 3)) /dev/urandom; } >$t/in/f$i
        done
    }
    acked=0 RANDOM=7
    for cut_number in $(seq "$cuts"); do
        ( # publishes until the power fails
            n=$acked
            while :; do
                n=$((n + 1))
                version $n
                $dxup publish $t/m/store tree $t/in >/dev/null 2>$t/error || exit
                echo $n >$t/acked.new
                mv $t/acked.new $t/acked # a kill in between leaves one or the other
            done
        ) &
        publisher=$!
        for try in $(seq $((cut_number % 2 * 600))); do # every second time while there is something to lose
            [ "$(cat $t/acked 2>/dev/null || echo 0)" -le "$acked" ] || break
            sleep 0.1
        done
        sleep 0.$((RANDOM % 9))$((RANDOM % 10))
        now=$(cat $t/acked 2>/dev/null || echo 0) # acknowledged before the power cut; later writes are dropped
        table "$cut" || { echo "FAIL cut $cut_number: the disk cannot be cut"; exit 1; }
        kill -9 $publisher 2>/dev/null
        wait $publisher 2>/dev/null
        last=$(cat $t/acked 2>/dev/null || echo 0)
        for try in $(seq 200); do umount $t/m 2>/dev/null && break; sleep 0.1; done
        table "$good"
        echo 3 >/proc/sys/vm/drop_caches
        e2fsck -fy "$disk" >$t/fsck 2>&1
        [ $? -le 1 ] || { echo "FAIL cut $cut_number: e2fsck: $(tail -n 1 $t/fsck)"; exit 1; }
        mount -t ext4 "$disk" $t/m || { echo "FAIL cut $cut_number: it cannot be mounted"; exit 1; }
        have=0
        if [ -e $t/m/store ]; then
            message=$($dxup verify $t/m/store 2>&1)
            status=$?
            [ $status = 0 ] || [ "$now$status" = 02 ] || { echo "FAIL cut $cut_number: verify: status $status, ${message//$'\n'/; }"; continue; }
            rm -rf $t/out
            if $dxup checkout $t/m/store tree $t/out >/dev/null 2>&1; then
                have=$(sed -n '1s/^version \([0-9]*\) .*/\1/p' $t/out/f1)
                [ "$(head -qn 1 $t/out/f? | tr '\0' ' ' | grep -ac "^version $have file")" = 4 ] || have="mixed"
            fi
        fi
        case $have in
            mixed) echo "FAIL cut $cut_number: a tree of two versions" ;;
            *) if [ "$have" -ge "$now" ] && [ "$have" -le $((last + 1)) ]; then echo "ok   cut $cut_number: $now acknowledged, $have there"
               else echo "FAIL cut $cut_number: $now acknowledged, $have there"; fi ;;
        esac
        acked=$have
        echo "$acked" >$t/acked
    done
    exit 0
fi

passed=0 failed=0 skipped=0
finish() { echo "powercut: $passed passed, $failed failed, $skipped skipped"; [ $failed = 0 ]; exit; }
skip() { echo "skip powercut: $1"; skipped=1; finish; }
for program in linux.uml dmsetup mkfs.ext4 e2fsck unshare; do
    command -v $program >/dev/null || PATH=$PATH:/usr/sbin:/sbin command -v $program >/dev/null || skip "no $program"
done
[ "$(id -u)" = 0 ] || skip "it needs root"
[ -x build/dxup ] || ${MAKE:-make} -s build/dxup || skip "no build/dxup"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/init" <<INIT
#!/bin/bash
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc p /proc; mount -t sysfs s /sys; mount -t tmpfs t /run; mount -t devtmpfs d /dev 2>/dev/null
mkdir -p /run/top /run/m/lib && cp "$top/tests/ports/powercut.sh" /run/job && cp "$top/build/dxup" /run/dxup
ln -s /usr/lib/uml/modules /run/m/lib/modules
for m in dm_flakey ext4 loop; do modprobe -d /run/m \$m; done
mount -t tmpfs t /tmp
mkdir -p $t/tests/ports && cp /run/job $t/tests/ports/powercut.sh && bash $t/tests/ports/powercut.sh $cuts inside /run/dxup
echo "ENDED \$?"
poweroff -f; echo o >/proc/sysrq-trigger
INIT
chmod +x "$work/init"
timeout 1500 unshare --pid --fork --kill-child=KILL linux.uml mem=512M rootfstype=hostfs rootflags=/ ro init="$work/init" quiet \
    con=null con0=null,fd:1 con1=fd:0,fd:1 </dev/null 2>&1 | tr -d '\r' >"$work/log"
grep -aE '^(ok  |FAIL) ' "$work/log"
passed=$(grep -acE '^ok   ' "$work/log")
failed=$(grep -acE '^FAIL ' "$work/log")
if [ $((passed + failed)) = 0 ]; then
    skip "the emulated kernel does not get that far here: $(tail -n 1 "$work/log")"
elif ! grep -aq '^ENDED 0' "$work/log"; then
    echo "FAIL it did not end: $(tail -n 1 "$work/log")"
    failed=$((failed + 1))
fi
finish
