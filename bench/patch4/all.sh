for o in /tmp/pairs/*.old; do p=$(basename $o .old); [ $p = p12-workerd ] && continue; n=/tmp/pairs/$p.new
echo "$p P $(timeout 100 ./pm $o $n 6 2>&1|tail -1)"; echo "$p P9 $(timeout 100 ./pm $o $n 9 2>&1|tail -1)"; 
case $p in p05*|p06*|p16*|p17*|p18*|p19*|p21*|p22*) ;; *) echo "$p T $(timeout 100 ./tm $o $n 2 2>&1|tail -1)";; esac; done
