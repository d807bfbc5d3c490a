#!/bin/bash
# `make install` puts every file where a program finds it through pkg-config, and no file elsewhere.
. "$(dirname "$0")/lib.sh"
root=$work/root
programs="dxup dxpatch dxecho dxkeep dxwan"
[ "$(make -s has-dxdb)" != 1 ] || programs="$programs dxdb" # if its libraries are installed
documents=$(ls README.md LICENSE CHANGELOG.md SECURITY.md docs/*.md docs/*.svg docs/*.png docs/formats/*.md programs/*/README.md 2>/dev/null)
layers=$(cd layers 2>/dev/null && echo dx_*.h)
installed() {
    make -s install DESTDIR="$root" PREFIX=/opt/dx CC="$CC" || return
    for p in $programs; do
        echo "share/man/man1/$p.1 share/bash-completion/completions/$p share/zsh/site-functions/_$p share/fish/vendor_completions.d/$p.fish"
    done >"$work/texts"
    for file in $(printf 'include/%s ' $headers) ${layers:+$(printf 'include/dx/%s ' $layers)} $(printf 'bin/%s ' $programs) \
        $(cat "$work/texts") $(printf 'share/doc/dx/%s ' $documents) lib/pkgconfig/dx.pc; do
        [ -s "$root/opt/dx/$file" ] || echo "$file is not installed"
    done
    for d in $documents; do cmp "$d" "$root/opt/dx/share/doc/dx/$d"; done
    for h in $layers; do cmp "layers/$h" "$root/opt/dx/include/dx/$h"; done
    for h in $headers; do cmp "$h" "$root/opt/dx/include/$h"; done
    find "$root" -type f | grep -vxF "$(printf "$root/opt/dx/share/doc/dx/%s\n" $documents)" | grep -vE "^$root/opt/dx/(include/(dx/)?dx_[a-z0-9_]+\.h|bin/(${programs// /|})|lib/pkgconfig/dx\.pc)$" |
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
# Files of others stay, in every directory, and so do those directories; without them nothing is left but directories that others use.
uninstalled() {
    local others=$work/others before after
    cp -R "$root" "$others" || return
    for d in bin include include/dx share/doc share/doc/dx share/doc/dx/docs share/man/man1 share/bash-completion/completions lib/pkgconfig; do
        mkdir -p "$others/opt/dx/$d" && echo kept >"$others/opt/dx/$d/of-others"
    done
    echo kept >"$others/opt/dx/bin/dxother"
    make -s uninstall DESTDIR="$root" PREFIX=/opt/dx CC="$CC" || return
    find "$root" ! -type d | sed 's/^/left behind /'
    [ ! -e "$root/opt/dx/include/dx" ] && [ ! -e "$root/opt/dx/share/doc/dx" ] || echo "directories of dx are left behind"
    make -s uninstall DESTDIR="$root" PREFIX=/opt/dx CC="$CC" || echo "a second time it fails"
    before=$(find "$others" ! -type d \( -name of-others -o -name dxother \) | sort)
    make -s uninstall DESTDIR="$others" PREFIX=/opt/dx CC="$CC" || return
    after=$(find "$others" ! -type d | sort)
    [ "$before" = "$after" ] || diff <(echo "$before") <(echo "$after")
}
# The places that the shells and man look at, with a name that has a space.
spaced() {
    local place=$work/"a place"
    make -s install DESTDIR="$place" PREFIX=/usr CC="$CC" || return
    [ -s "$place/usr/share/doc/dx/LICENSE" ] && [ -s "$place/usr/share/man/man1/dxwan.1" ] || echo "files are missing"
    make -s uninstall DESTDIR="$place" PREFIX=/usr CC="$CC" || return
    find "$place" ! -type d | sed 's/^/left behind /'
}
try "make install" installed
wait
if has pkg-config; then try "pkg-config" used; else skip "pkg-config" "not installed"; fi
wait
try "make uninstall" uninstalled
try "a path with a space" spaced
wait
finish
