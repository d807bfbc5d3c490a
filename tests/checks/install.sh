#!/bin/bash
# `make install` puts every file where a program finds it through pkg-config, and no file elsewhere.
. "$(dirname "$0")/lib.sh"
root=$work/root
programs="dxup dxpatch dxecho dxkeep dxwan"
[ "$(make -s has-dxdb)" != 1 ] || programs="$programs dxdb" # if its libraries are installed
layers=$(cd layers 2>/dev/null && echo dx_*.h)
installed() {
    make -s install DESTDIR="$root" PREFIX=/opt/dx CC="$CC" || return
    for p in $programs; do
        echo "share/man/man1/$p.1 share/bash-completion/completions/$p share/zsh/site-functions/_$p share/fish/vendor_completions.d/$p.fish"
    done >"$work/texts"
    for file in $(printf 'include/%s ' $headers) ${layers:+$(printf 'include/dx/%s ' $layers)} $(printf 'bin/%s ' $programs) \
        $(cat "$work/texts") lib/pkgconfig/dx.pc; do
        [ -s "$root/opt/dx/$file" ] || echo "$file is not installed"
    done
    for h in $layers; do cmp "layers/$h" "$root/opt/dx/include/dx/$h"; done
    for h in $headers; do cmp "$h" "$root/opt/dx/include/$h"; done
    find "$root" -type f | grep -vE "^$root/opt/dx/(include/(dx/)?dx_[a-z0-9_]+\.h|bin/(${programs// /|})|lib/pkgconfig/dx\.pc)$" |
        grep -vxF "$(sed "s|^|$root/opt/dx/|; s| | $root/opt/dx/|g" "$work/texts" | tr ' ' '\n')" | sed 's/^/stray file /'
    [ "$(stat -c %a "$root/opt/dx/include/${headers%% *}")" = 644 ] || echo "headers are not readable by all"
    for program in $programs; do
        "$root/opt/dx/bin/$program" --help >/dev/null || echo "the installed $program does not run"
    done
}
used() {
    { echo "#define DX_IMPLEMENTATION"; printf '#include <%s>\n' $headers $layers; echo "int main(void) { return 0; }"; } >"$work/user.c"
    cd "$work" || return
    export PKG_CONFIG_PATH=$root/opt/dx/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$root
    pkg-config --modversion dx | grep -vx '[0-9]*\.[0-9]*\.[0-9]*'
    $CC user.c $(pkg-config --cflags --libs dx) -o user && ./user
}
try "make install" installed
wait
if has pkg-config; then try "pkg-config" used; else skip "pkg-config" "not installed"; fi
finish
