cd /tmp/patch2
for p in p14-caniuse-json p15-echarts-min-js p16-esbuild-arm64 p17-esbuild-riscv64 p18-esbuild-windows p19-esbuild-macos-arm64 p21-esbuild-s390x p22-esbuild-arm p23-caniuse-tar; do
o=/tmp/pairs/$p.old; n=/tmp/pairs/$p.new
x=$(xdelta3 -9 -e -c -f -B 134217728 -s $o $n | wc -c)
z=$(zstd -19 --long=27 -q --patch-from=$o -c $n | wc -c)
b=0; timeout 120 bsdiff $o $n /tmp/patch2/bs.tmp && b=$(stat -c %s /tmp/patch2/bs.tmp)
l6=$(./cur $o $n 6 1); l9=$(./cur $o $n 9 1)
echo "$p xdelta3 $x zstd19 $z bsdiff $b | $l6 | $l9"
done
