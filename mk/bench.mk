# Measurements, beside the best form of the peers. They take minutes to hours and want a machine that has nothing else to do;
# results go to bench/results, what was tried to bench/log.md.

.PHONY: bench-blocks bench-inputs bench-patch bench-sizes bench-many bench-levels bench-update bench-hde bench-hbtp bench-bulk bench-wan bench-memory bench-cas bench-trees bench-reactor bench-teleport bench-cache bench-link bench-dxdb bench-keep bench-www bench-net

.PHONY: bench
bench: ## charts of README.md and bench/README.md, from the CSV files in bench/results
	@python3 bench/charts.py

build/bench_patch: bench/bench_patch.c dx_patch.h build/flags
	$(CC) -std=c11 $(WARN) $(CFLAGS) $< -o $@ $(LDFLAGS)

build/bench_blocks: bench/bench_blocks.c dx_patch.h build/flags
	$(CC) -std=gnu11 $(WARN) -Wno-unused-function $(CFLAGS) $< -o $@ $(LDFLAGS)
bench-inputs: build/dxpatch ## how long patches of hard inputs take, beside each other
	@python3 bench/bench_inputs.py

bench-blocks: build/bench_blocks ## block and flash patches of dx_patch.h; PAIRS='OLD NEW ...'
	@build/bench_blocks $(PAIRS)

build/bench_hde: bench/bench_hde.c layers/dx_hde.h dx_patch.h build/flags
	$(CC) -std=c11 $(WARN) $(CFLAGS) $(if $(ZSTD_LIBS),-DDX_HDE_ZSTD) $< -o $@ $(LDFLAGS) $(ZSTD_LIBS)
bench-hde: build/bench_hde ## states as records against baselines; PAIRS='ID OLD NEW ...'
	@build/bench_hde $(PAIRS)

bench-patch: build/dxpatch build/bench_patch ## dx_patch.h beside other delta tools; PAIRS=folder of ID.old and ID.new, ONLY='ID ...', SIZES=1 or CPU=1
	@bench/bench_patch.sh $(if $(SIZES),--sizes)$(if $(CPU),--cpu) '$(PAIRS)' $(ONLY)

bench-levels: build/bench_patch ## levels of dx_patch.h, into bench/results/levels.csv and the head of dx_patch.h; PAIRS=folder, ONLY='ID ...'
	@bench/bench_levels.sh '$(PAIRS)' $(ONLY)

bench-update: build/dxup ## bytes of first copies and updates, beside rsync -z, zsync, restic and casync; PAIRS='OLD NEW ...'
	@bench/bench_update.sh $(PAIRS)

bench-many: build/dxup ## processor time of updating 50,000 small files, client and server, beside rsync; FILES=n ROUNDS=n
	@python3 bench/bench_many.py $(or $(FILES),50000) --rounds $(or $(ROUNDS),3)

bench-sizes: build/dxup ## bytes and memory over the size of a file, beside rsync -z, into bench/results/sizes.csv; SIZES='1M 64M 1G --sparse ...'
	@python3 bench/bench_sizes.py $(or $(SIZES),1M 4M 16M 64M 256M 1G)

bench-hbtp: ## dx_hbtp.h beside a naive loop and other parsers, into bench/results/hbtp.csv
	@CC='$(CC)' bench/bench_hbtp.sh

PEERS := $(foreach p,URING:liburing.h:uring UV:uv.h:uv EVENT:event2/event.h:event EV:ev.h:ev,$(p))
build/bench_reactor_peers: bench/bench_reactor_peers.c bench/bench_reactor_libev.c build/flags
	@files=bench/bench_reactor_peers.c; options=; libs=; \
	for p in $(PEERS); do name=$${p%%:*}; lib=$${p##*:}; header=$${p#*:}; header=$${header%:*}; \
	    printf '#include <%s>\nint main(void) { return 0; }\n' $$header | $(CC) -x c - -o build/has_peer -l$$lib 2>/dev/null || { echo "not here: lib$$lib"; continue; }; \
	    options="$$options -DHAVE_$$name"; libs="$$libs -l$$lib"; [ $$name != EV ] || files="$$files bench/bench_reactor_libev.c"; done; \
	$(CC) -std=gnu11 $(WARN) $(CFLAGS) $$options $$files -o $@ $(LDFLAGS) $$libs
build/bench_reactor_load: bench/bench_reactor_load.c build/flags
	$(CC) -std=gnu11 $(WARN) $(CFLAGS) $< -o $@ $(LDFLAGS)
build/bench_reactor: bench/bench_reactor.c dx_reactor.h build/flags
	$(CC) -std=gnu11 $(WARN) $(CFLAGS) -DNDEBUG $< -o $@ $(LDFLAGS) -lpthread

REACTOR_BENCHES := build/bench_reactor build/bench_reactor_load build/bench_reactor_peers
bench-reactor: build/dxecho $(REACTOR_BENCHES) ## dx_reactor.h beside other event loops and servers, into bench/results/reactor.csv
	@bench/bench_reactor.sh

bench-www: ## rows of a table in Chromium, by layers/dx_page.h and by hand, and the update module's cache, into bench/results/www*.csv; ROUNDS= WWW_PEERS='' (no npm) WWW_SECONDS=
	@$(if $(filter undefined,$(origin WWW_PEERS)),,WWW_PEERS='$(WWW_PEERS)') $(if $(WWW_SECONDS),WWW_SECONDS=$(WWW_SECONDS)) bench/bench_www.sh $(ROUNDS)
	@python3 bench/charts.py

bench-net: build/dxup ## visits to a page in Chromium over slow networks, by examples/update and by fetch, into bench/results/net.csv; ROUNDS=
	@examples/www/build.sh build/www
	@node bench/bench_net.mjs build/www $(or $(ROUNDS),5) | tee build/net.csv && cp build/net.csv bench/results/net.csv

bench-teleport: ## dx_teleport.h beside memcpy and other formats, into bench/results/teleport.csv
	@bench/bench_teleport.sh

build/bench_link: bench/bench_link.c layers/dx_link.h layers/dx_peers.h layers/dx_window.h dx_hbtp.h dx_reactor.h build/flags
	$(CC) -std=gnu11 $(WARN) -Wno-unused-function $(CFLAGS) -DNDEBUG $< -o $@ $(LDFLAGS)
build/bench_nats: bench/bench_nats.c build/flags
	$(CC) -std=gnu11 $(WARN) $(CFLAGS) $< -o $@ $(LDFLAGS)
bench-link: build/bench_link build/bench_nats ## calls over layers/dx_link.h beside NATS, into bench/results/link.csv
	@bench/bench_link.sh $(SECONDS) $(ROUNDS)

build/bench_dxdb: bench/bench_dxdb.c build/flags
	$(CC) -std=gnu11 $(WARN) $(CFLAGS) $(PQ_CFLAGS) $< -o $@ $(LDFLAGS) -lpq
bench-dxdb: build/dxdb build/bench_dxdb ## dxdb beside pgbench, PgBouncer, Redis, nginx and h2o, times after a COMMIT, idle connections, into bench/results/dxdb.csv; SECONDS=, ROUNDS=, SUBSCRIBERS='N ...'
	@bash -c '. bench/bench_deps.sh; for p in pgbouncer redis nginx h2o; do dpkg -s $$p >/dev/null 2>&1 || install_package $$p; done; true'
	@python3 bench/bench_dxdb.py $(or $(SECONDS),3) $(or $(ROUNDS),200) $(SUBSCRIBERS)

bench-keep: build/dxkeep ## dxkeep beside restic, borg and zstd -3: bytes of 20 versions, processor time; pauses, restore, pgbench, into bench/results/keep.csv; PARTS='series ...'
	@bash -c '. bench/bench_deps.sh; for p in restic borgbackup zstd; do dpkg -s $$p >/dev/null 2>&1 || install_package $$p; done; true'
	@ROUNDS='$(ROUNDS)' SECONDS='$(SECONDS)' python3 bench/bench_keep.py $(PARTS)

BENCH_BULK := $(filter programs/dxwan/net/%,$(DXWAN)) $(COMMON) $(call HEADER,bulk crc32c hbtp reactor link)
build/bench_bulk: bench/bench_bulk.c $(BENCH_BULK:%.c=build/obj/%.o) build/flags
	$(CC) -std=c11 $(WARN) $(CFLAGS) $(filter %.c %.o,$^) -o $@ $(LDFLAGS) $(TLS_LIBS) -lpthread

bench-bulk: build/bench_bulk ## one object over many connections beside a plain copy loop, into bench/results/bulk.csv
	@bench/bench_bulk.sh

bench-wan: build/dxwan ## dxwan beside one stream, rsync and others over emulated paths with loss, into bench/results/wan.csv; WAN_KERNEL=a user-mode Linux with time travel, as root
	@bash -c '. bench/bench_deps.sh; for p in iperf3 rsync aria2 kcptun uftp globus-gridftp-server-progs globus-gass-copy-progs; do dpkg -s $$p >/dev/null 2>&1 || install_package $$p; done; true'
	@python3 bench/bench_wan.py '$(WAN_KERNEL)' $(WAN_OPTIONS)

BENCH_MEMORY := programs/dxwan/files/coder.c $(COMMON) $(call HEADER,cas crc32c hbtp patch reactor link)
build/bench_memory: bench/bench_memory.c $(BENCH_MEMORY:%.c=build/obj/%.o) build/flags
	$(CC) -std=c11 $(WARN) $(CFLAGS) $(ZSTD_CFLAGS) $(filter %.c %.o,$^) -o $@ $(LDFLAGS) $(ZSTD_LIBS) -lpthread
bench-memory: build/dxwan build/bench_memory ## dxwan mirror of the memory of PostgreSQL, Node and QEMU beside zstd, rsync, XOR and QEMU's migration, into bench/results/memory.csv; PARTS='postgres ...'
	@bash -c '. bench/bench_deps.sh; for p in postgresql nodejs qemu-system-x86 busybox rsync zstd; do dpkg -s $$p >/dev/null 2>&1 || install_package $$p; done; true'
	@python3 bench/bench_memory.py $(PARTS)

bench-cas: ## dx_cas.h beside other hashes and stores, into bench/results/cas.md; FOLDER=where the stores are made
	@CC='$(CC)' bench/bench_cas.sh $(FOLDER)
bench-trees: build/dxup ## dxup beside restic, borg, casync, git, tar and cp -a, into bench/results/trees.md; TREES='NAME=DIRECTORY ...'
	@bench/bench_trees.sh $(TREES)

build/bench_cache: bench/bench_cache.c layers/dx_cache.h dx_cas.h build/flags
	$(CC) -std=gnu11 $(WARN) -Wno-unused-function $(CFLAGS) -DNDEBUG $< -o $@ $(LDFLAGS) -lpthread
bench-cache: build/bench_cache ## a million gets of layers/dx_cache.h under invalidation load: percentiles and maximum
	@build/bench_cache
