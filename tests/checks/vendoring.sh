#!/bin/bash
# docs/vendoring.md: the files of each section are written into an empty folder, its commands run there.
# A block's first line: "```LANGUAGE FILE", or "```sh TOOLS that it needs". A whole program without a file name ("```c") is run by
# docexamples.sh.
. "$(dirname "$0")/lib.sh"
top=$PWD
sections=$work/sections
mkdir "$sections"
awk -v to="$sections" '
    /^## / { folder = sprintf("%s/%02d", to, ++n); system("mkdir " folder); print substr($0, 4) >(folder "/NAME"); next }
    /^```$/ && file { close(file); file = ""; next }
    /^```sh/ { file = folder "/commands"; print "# needs" substr($0, 6) >>file; next }
    /^```c$/ { file = "/dev/null"; next }
    /^```/ { file = folder "/" $2; if ($2 ~ "/") { into = file; sub("/[^/]*$", "", into); system("mkdir -p " into) } next }
    file { print >>file }' docs/vendoring.md
section() { # FOLDER
    cd "$1" && DX=$top sh -eu ./commands
}
for folder in "$sections"/*; do
    [ -f "$folder/commands" ] || continue
    name=$(cat "$folder/NAME") missing=
    for tool in $(sed -n 's/^# needs//p' "$folder/commands"); do has "$tool" || missing="$missing $tool"; done
    if [ -n "$missing" ]; then skip "$name" "no$missing"; else try "$name" section "$folder"; fi
done
finish
