# dx: five single-file headers and the programs that compose them. `make help` lists the targets.
# Settable: CC CFLAGS LDFLAGS ZSTD=0|1 JOBS=n PREFIX DESTDIR OLD NEW PAIRS

HEADERS := dx_cas.h dx_hbtp.h dx_patch.h dx_reactor.h dx_teleport.h
VERSION := 0.1.0
PREFIX  ?= /usr/local
CFLAGS  ?= -O2 -g
WARN    := -Wall -Wextra
SANITIZE := -g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer

# `cc` where nothing was asked for and there is one, else the compiler that is there.
ifeq ($(origin CC),default)
  CC := $(or $(notdir $(firstword $(shell command -v cc || command -v gcc || command -v clang))),cc)
endif
# zstd is used when its header and its library are there; ZSTD=0 does without.
ifndef ZSTD
  ZSTD := $(shell mkdir -p build && printf '\043include <zstd.h>\nint main(void) { return ZSTD_versionNumber() == 0; }\n' | \
            $(CC) $(CFLAGS) -x c - -o /dev/null -lzstd 2>/dev/null && echo 1 || echo 0)
endif
ifeq ($(ZSTD)$(shell echo '\043include <sodium.h>' | $(CC) -x c -fsyntax-only - 2>/dev/null && echo sodium),1sodium)
  CODECS := 1
endif
ifeq ($(ZSTD),1)
  ZSTD_CFLAGS := -DDXUP_ZSTD_LIBRARY
  ZSTD_LIBS   := -lzstd
endif

HELLO  := $(patsubst examples/hello/%.c,build/%,$(wildcard examples/hello/hello_*.c))
COMMON := $(wildcard programs/common/*.c)
DXUP   := $(wildcard programs/dxup/*.c) $(COMMON)
DXPATCH := $(patsubst programs/dxpatch/%.c,dxpatch.d/%.o,$(wildcard programs/dxpatch/*.c)) $(patsubst programs/common/%.c,dxup.d/%.o,$(filter-out %/base.c,$(COMMON)))
UNITS  := $(sort $(basename $(notdir $(wildcard tests/cores/test_*.c tests/layers/test_*.c tests/programs/test_*.c))))
vpath test_%.c tests/cores tests/layers tests/programs
GATES  := $(filter-out lib size,$(patsubst tests/checks/%.sh,%,$(wildcard tests/checks/*.sh)))

.PHONY: help windows all hello demo demo-run run-firmware run-www test test-run test-all test-all-run suites check deps deps-all size install bench-blocks bench-inputs bench-patch bench-hde bench-hbtp bench-bulk bench-cas bench-trees bench-reactor bench-teleport bench-cache clean
.DELETE_ON_ERROR:

help: ## this list
	@awk -F ':.*## ' '/^[a-z].*:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile
	@echo "Settable: CC CFLAGS LDFLAGS ZSTD=0|1 JOBS=n; now CC=$(CC) ZSTD=$(ZSTD)"

windows: build/windows/dxup.exe build/windows/dxpatch.exe build/windows/dxecho.exe ## dxup, dxpatch and dxecho for Windows, with mingw [WINDOWS_CC=...]

all: hello build/dxup build/dxpatch build/dxecho ## the hello programs, dxup, dxpatch and dxecho, into build/

hello: $(HELLO) ## one small program for each header

# ---------------------------------------------------------------- programs
# Objects are built again when the flags change.
FLAGS := $(CC) $(CFLAGS) $(LDFLAGS) $(ZSTD_CFLAGS)
build/flags: always
	@mkdir -p build/dxup.d build/dxpatch.d build/old.d build/asan/dxup.d build/asan/dxpatch.d build/demo
	@echo '$(FLAGS)' | cmp -s - $@ || echo '$(FLAGS)' >$@
.PHONY: always

build/hello_%: examples/hello/hello_%.c dx_%.h build/flags
	$(CC) -std=c99 $(WARN) $(CFLAGS) $< -o $@ $(LDFLAGS) -lpthread

DXUP_CC = $(CC) -std=c11 $(WARN) $(CFLAGS) $(ZSTD_CFLAGS) -MMD -MP
build/dxup.d/%.o: programs/dxup/%.c build/flags
	$(DXUP_CC) -c $< -o $@
build/asan/dxup.d/%.o: programs/dxup/%.c build/flags
	$(DXUP_CC) $(SANITIZE) -c $< -o $@
build/dxup.d/%.o: programs/common/%.c build/flags
	$(DXUP_CC) -c $< -o $@
build/asan/dxup.d/%.o: programs/common/%.c build/flags
	$(DXUP_CC) $(SANITIZE) -c $< -o $@

build/dxup: $(patsubst %.c,build/dxup.d/%.o,$(notdir $(DXUP)))
	$(CC) $(CFLAGS) $^ -o $@ $(LDFLAGS) $(ZSTD_LIBS) -lpthread
build/asan/dxup: $(patsubst %.c,build/asan/dxup.d/%.o,$(notdir $(DXUP)))
	$(CC) $(CFLAGS) $(SANITIZE) $^ -o $@ $(LDFLAGS) $(ZSTD_LIBS) -lpthread

build/dxpatch.d/%.o: programs/dxpatch/%.c build/flags
	$(DXUP_CC) -c $< -o $@
build/asan/dxpatch.d/%.o: programs/dxpatch/%.c build/flags
	$(DXUP_CC) $(SANITIZE) -c $< -o $@
build/dxpatch: $(addprefix build/,$(DXPATCH))
	$(CC) $(CFLAGS) $^ -o $@ $(LDFLAGS) $(ZSTD_LIBS)
build/asan/dxpatch: $(addprefix build/asan/,$(DXPATCH))
	$(CC) $(CFLAGS) $(SANITIZE) $^ -o $@ $(LDFLAGS) $(ZSTD_LIBS)
build/dxecho: programs/dxecho/dxecho.c build/flags
	$(CC) -std=c11 $(WARN) $(CFLAGS) -DNDEBUG -MMD -MP -MF $@.d -MT $@ $< -o $@ $(LDFLAGS) -lpthread
build/asan/dxecho: programs/dxecho/dxecho.c build/flags
	$(CC) -std=c11 $(WARN) $(CFLAGS) $(SANITIZE) -MMD -MP -MF $@.d -MT $@ $< -o $@ $(LDFLAGS) -lpthread
# For Windows. The programs need nothing but what every Windows has.
WINDOWS_CC ?= x86_64-w64-mingw32-gcc
WINDOWS = @mkdir -p build/windows && $(WINDOWS_CC) -std=c11 $(WARN) $(CFLAGS) -static -s $(filter-out $(INCLUDED),$(filter %.c,$^)) -o $@ -lws2_32 -lntdll -lpsapi -lpthread
build/windows/dxup: $(DXUP) $(wildcard programs/dxup/*.h programs/common/*.h layers/*.h) $(HEADERS) # as dxup.exe: without zstd
	@mkdir -p $(@D)
	$(CC) -std=c11 $(WARN) $(CFLAGS) $(DXUP) -o $@ $(LDFLAGS) -lpthread
build/windows/reader.exe: tests/ports/windows_reader.c
	$(WINDOWS)
build/windows/dxup.exe: $(DXUP) $(wildcard programs/dxup/*.h programs/common/*.h layers/*.h) $(HEADERS)
	$(WINDOWS)
build/windows/dxecho.exe: programs/dxecho/dxecho.c $(wildcard programs/dxecho/*.h) dx_hbtp.h dx_reactor.h
	$(WINDOWS)
build/windows/dxpatch.exe: INCLUDED := programs/common/base.c
build/windows/dxpatch.exe: $(wildcard programs/dxpatch/*.c) $(filter-out %/base.c,$(COMMON)) $(wildcard programs/dxpatch/*.h programs/common/*.h) programs/common/base.c dx_patch.h
	$(WINDOWS)

# ---------------------------------------------------------------- demo
# The older of the demo's two versions is dxup with one source file optimised for size.
build/old.d/store.o: programs/dxup/store.c build/flags
	$(DXUP_CC) -Os -c $< -o $@
build/demo/dxup-1: $(filter-out %/store.o,$(patsubst %.c,build/dxup.d/%.o,$(notdir $(DXUP)))) build/old.d/store.o
	$(CC) $(CFLAGS) -s $^ -o $@ $(LDFLAGS) $(ZSTD_LIBS) -lpthread
build/demo/dxup-2: $(patsubst %.c,build/dxup.d/%.o,$(notdir $(DXUP)))
	$(CC) $(CFLAGS) -s $^ -o $@ $(LDFLAGS) $(ZSTD_LIBS) -lpthread

demo: ## publish two versions, serve them, pull three times: full, patch, unchanged [OLD=file NEW=file]
	@CC='$(CC)' tests/deps.sh compiler
	@$(MAKE) --no-print-directory -s demo-run
demo-run: build/dxup build/demo/dxup-1 build/demo/dxup-2
	@programs/dxup/demo.sh $(if $(OLD)$(NEW),'$(OLD)' '$(NEW)')

run-firmware: ## update a Cortex-M3 and a RISC-V board over their UARTs, in emulators
	@CC='$(CC)' examples/firmware/run.sh

run-www: build/dxup ## a page that keeps an application up to date with patches, on http://127.0.0.1:8000/
	@CC='$(CC)' examples/www/run.sh

# ---------------------------------------------------------------- tests
# What a program was made of is in FILE.d, which the compiler writes.
TEST_CC = $(CC) -std=c11 $(WARN) -Wno-unused-function -MMD -MP -MF $@.d -MT $@
build/test_%: test_%.c build/flags
	$(TEST_CC) $(CFLAGS) $< -o $@ $(LDFLAGS) -lpthread
build/asan/test_%: test_%.c build/flags
	$(TEST_CC) $(SANITIZE) $< -o $@ $(LDFLAGS) -lpthread
build/tsan/test_%: test_%.c build/flags
	@mkdir -p $(@D)
	$(TEST_CC) -g -O1 -fsanitize=thread $< -o $@ $(LDFLAGS) -lpthread
build/kqueue/test_%: test_%.c tests/ports/kqueue/kqueue_shim.c build/flags
	@mkdir -p $(@D)
	$(TEST_CC) $(SANITIZE) -DDX_REACTOR_KQUEUE -Itests/ports/kqueue $(filter %.c,$^) -o $@ $(LDFLAGS) -lpthread
build/asan/ledger: tests/ports/ledger.c build/flags
	$(TEST_CC) $(SANITIZE) $< -o $@ $(LDFLAGS)
# Other choices of a header, tested like the first: codecs; the path for big-endian machines on this one.
build/portable/test_teleport: OPTION := -DDX_TELEPORT_LITTLE_ENDIAN=0
build/codec/test_hbtp_codec: OPTION := -DDX_HBTP_ZSTD -DDX_HBTP_SODIUM -lzstd -lsodium
build/codec/test_hde: OPTION := -DDX_HDE_ZSTD -lzstd
build/portable/test_% build/codec/test_%: test_%.c build/flags
	@mkdir -p $(@D)
	$(TEST_CC) $(SANITIZE) $< -o $@ $(LDFLAGS) $(OPTION) -lpthread
build/dxup_evil: tests/programs/dxup_evil.c build/flags
	$(TEST_CC) $(CFLAGS) $(ZSTD_CFLAGS) $< -o $@ $(LDFLAGS) $(ZSTD_LIBS) -lpthread
-include $(shell find build -name '*.d' -type f 2>/dev/null)

# Older sanitizers cannot live with as much address randomisation as newer kernels have.
FIXED := $(shell setarch -R true 2>/dev/null && echo setarch -R)

# Suites are lines for tests/run.sh: NAME SECONDS COMMAND; a "!" before the name: nothing else runs meanwhile.
# `make test` runs each suite once, natively, with sanitizers unless these make it slow (SLOW); `make test-all` runs it in the
# other builds and on other machines. A gate's other half (NAME.others) is what needs more tools than `make test` installs.
SLOW    :=
TSAN    := test_reactor test_ring_more test_workers test_cache test_hde test_cas_race
ASAN    := $(filter-out $(SLOW),$(UNITS))
FOREIGN := commands cxx strict layers freestanding footprint hbtp lanes patch portable teleport_peer vendored vendoring
ONLY_ALL := selftest teleport_ports
# On s390x the reactor's suites run on epoll: the emulator has no io_uring, which test_reactor_faults is about.

plain  = '$(1) 1800 $(MAKE) -s build/$(1) && build/$(1)'
asan   = '$(1).asan 1800 $(MAKE) -s build/asan/$(1) && $(FIXED) build/asan/$(1)'
variant = '$(1).$(2) 1800 $(MAKE) -s build/$(3)/$(1) && $(FIXED) build/$(3)/$(1) $(4)'
program = '$(1).asan 1800 $(2)=build/asan/$(3) $(FIXED) tests/programs/$(4)'
PROGRAMS := build/dxup build/dxpatch build/dxup_evil build/asan/dxup build/asan/dxpatch build/asan/dxecho

TEST_SUITES = '!build 1800 $(MAKE) -s -j2 hello $(PROGRAMS) && echo "build: 1 passed, 0 failed, 0 skipped"' \
    $(call program,test_dxup,DXUP,dxup,test_dxup.sh) $(call program,dxup_http,DXUP,dxup,dxup_http.py) \
    $(call program,test_dxecho,DXECHO,dxecho,test_dxecho.sh) $(call program,test_dxpatch,DXPATCH,dxpatch,test_dxpatch.sh) \
    'conform 1800 tests/ports/conform.sh' \
    'ledger 1800 $(MAKE) -s build/asan/ledger && $(FIXED) build/asan/ledger' \
    $(foreach t,$(SLOW),$(call plain,$(t))) $(foreach t,$(ASAN),$(call asan,$(t))) \
    $(if $(CODECS),$(call variant,test_hbtp_codec,libraries,codec)) $(if $(ZSTD_LIBS),$(call variant,test_hde,zstd,codec)) \
    $(call variant,test_teleport,portable,portable) \
    $(foreach t,test_reactor test_connections,$(call variant,$(t),kqueue,kqueue,kqueue)) \
    $(foreach g,$(filter-out $(ONLY_ALL),$(GATES)),'$(g) 1800 DX_TIER=native tests/checks/$(g).sh')

ALL_SUITES = '!build.all 1800 $(MAKE) -s -j2 all build/dxup_evil build/demo/dxup-1 build/demo/dxup-2 && echo "build.all: 1 passed, 0 failed, 0 skipped"' \
    'test_dxup 3600 tests/programs/test_dxup.sh' 'www 1800 tests/ports/www.sh' 'feed 1800 tests/ports/feed.py' 'test_dxecho 1800 tests/programs/test_dxecho.sh' \
    'test_dxpatch 1800 tests/programs/test_dxpatch.sh' \
    'windows 1800 tests/ports/windows.py' 'kernels 3600 tests/ports/kernels.sh' 'powercut 1800 tests/ports/powercut.sh' \
    'macos 3600 tests/ports/macos.sh' 'conform.iocp 1800 tests/ports/conform.sh epoll iocp' \
    'firmware.mps2 1800 tests/ports/firmware.py mps2' 'firmware.virt 1800 tests/ports/firmware.py virt' \
    $(foreach t,$(TSAN),$(call variant,$(t),tsan,tsan)) $(foreach t,$(SLOW),$(call asan,$(t))) \
    $(foreach g,$(ONLY_ALL),'$(g) 1800 tests/checks/$(g).sh') \
    $(foreach g,$(FOREIGN),'$(g).others 1800 DX_TIER=others tests/checks/$(g).sh') \
    $(foreach t,$(ASAN),$(call plain,$(t))) \
    $(foreach t,$(UNITS:test_%=%),'test_$(t).i386 1800 tests/ports/run.sh i386 $(t)') \
    $(foreach t,$(filter-out reactor_faults,$(UNITS:test_%=%)),'test_$(t).s390x 3600 tests/ports/run.sh s390x $(t) $(if $(filter reactor reactor_% connections,$(t)),epoll)')

test: ## every suite once, on this machine, in minutes (installs at most 300 MB first, as `make deps` does)
	@CC='$(CC)' tests/deps.sh test || true
	@$(MAKE) --no-print-directory -s test-run
test-all: ## the rest: other builds, machines, kernels, browsers (installs up to 5 GB first, as `make deps-all` does)
	@CC='$(CC)' tests/deps.sh all || true
	@$(MAKE) --no-print-directory -s test-all-run
RUN = CC='$(CC)' ZSTD='$(ZSTD)' JOBS='$(JOBS)'
test-run: build/flags
	@$(RUN) LOGS=build/log tests/run.sh $(TEST_SUITES)
test-all-run: build/flags
	@$(RUN) LOGS=build/log.all tests/run.sh $(ALL_SUITES)

suites: ## the names of the suites that `make test` runs, and of those that `make test-all` runs
	@echo "make test:" && $(RUN) tests/run.sh --list $(TEST_SUITES)
	@echo "make test-all:" && $(RUN) tests/run.sh --list $(ALL_SUITES)

check: build/flags ## the gates alone, with all tools that are here: warnings, C++, include orders, names, sizes, examples ...
	@$(RUN) LOGS=build/log.check tests/run.sh $(foreach g,$(GATES),'$(g) 1800 tests/checks/$(g).sh')

deps: ## install what `make test` needs (Debian, Ubuntu; elsewhere print the list)
	@CC='$(CC)' tests/deps.sh test
deps-all: ## install what `make test-all` needs, too: cross compilers, emulators, a browser
	@CC='$(CC)' tests/deps.sh all

size: ## lines and machine code of each header
	@CC='$(CC)' tests/checks/size.sh

# ---------------------------------------------------------------- install
install: build/dxup build/dxpatch ## headers, dxup, dxpatch and dx.pc into $(DESTDIR)$(PREFIX)
	install -d '$(DESTDIR)$(PREFIX)/include' '$(DESTDIR)$(PREFIX)/bin' '$(DESTDIR)$(PREFIX)/lib/pkgconfig'
	install -m 644 $(HEADERS) '$(DESTDIR)$(PREFIX)/include'
	install -m 755 build/dxup build/dxpatch '$(DESTDIR)$(PREFIX)/bin'
	sed 's|@PREFIX@|$(PREFIX)|; s|@VERSION@|$(VERSION)|' dx.pc.in >'$(DESTDIR)$(PREFIX)/lib/pkgconfig/dx.pc'
	chmod 644 '$(DESTDIR)$(PREFIX)/lib/pkgconfig/dx.pc'

# ---------------------------------------------------------------- bench
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

bench-patch: build/dxpatch build/bench_patch ## dx_patch.h beside other delta tools; PAIRS=folder of ID.old and ID.new, ONLY='ID ...', SIZES=1
	@bench/bench_patch.sh $(if $(SIZES),--sizes) '$(PAIRS)' $(ONLY)

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

bench-reactor: build/dxecho build/bench_reactor build/bench_reactor_load build/bench_reactor_peers ## dx_reactor.h beside other event loops and servers, into bench/results/reactor.csv
	@bench/bench_reactor.sh

bench-teleport: ## dx_teleport.h beside memcpy and other formats, into bench/results/teleport.csv
	@bench/bench_teleport.sh

build/bench_bulk: bench/bench_bulk.c layers/dx_bulk.h layers/dx_bulk_net.h dx_hbtp.h build/flags
	$(CC) -std=c11 $(WARN) $(CFLAGS) $< -o $@ $(LDFLAGS)

bench-bulk: build/bench_bulk ## one object over many connections beside a plain copy loop, into bench/results/bulk.csv
	@bench/bench_bulk.sh

bench-cas: ## dx_cas.h beside other hashes and stores, into bench/results/cas.md; FOLDER=where the stores are made
	@CC='$(CC)' bench/bench_cas.sh $(FOLDER)
bench-trees: build/dxup ## dxup beside restic, borg, casync, git, tar and cp -a, into bench/results/trees.md; TREES='NAME=DIRECTORY ...'
	@bench/bench_trees.sh $(TREES)

build/bench_cache: bench/bench_cache.c layers/dx_cache.h dx_cas.h build/flags
	$(CC) -std=gnu11 $(WARN) -Wno-unused-function $(CFLAGS) -DNDEBUG $< -o $@ $(LDFLAGS) -lpthread
bench-cache: build/bench_cache ## a million gets of layers/dx_cache.h under invalidation load: percentiles and maximum
	@build/bench_cache

clean: ## remove build/
	rm -rf build

# ---------------------------------------------------------------- mutation score, outside of the tests: it takes minutes
.PHONY: mutants
mutants: ## change one operator, constant or statement at a time: do tests fail? CORE=dx_cas [COUNT=200 SEED=1 JOBS=n]
	@CC='$(CC)' JOBS='$(JOBS)' tests/mutants.py '$(or $(CORE),dx_cas)' --count $(or $(COUNT),100) --seed $(or $(SEED),1)
