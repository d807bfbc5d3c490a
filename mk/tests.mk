# Tests: how a suite is built in each of its forms, and the targets that run them. The suites stand in tests/suites.txt.

vpath test_%.c tests/cores tests/layers tests/programs
TEST_CC = $(CC) -std=c11 $(WARN) -Wno-unused-function -MMD -MP -MF $@.d -MT $@
# A C file that a test includes is named in its .d file with "../", and is not compiled once more.
TEST_SOURCES = $(foreach file,$(filter %.c,$^),$(if $(findstring ../,$(file)),,$(file)))
TEST_BUILD = @mkdir -p $(@D) && $(TEST_CC) $(1) $(PRIVATE) $(TEST_SOURCES) -o $@ $(LDFLAGS) $(2) -lpthread
# A suite has private copies of the headers: the compiler drops what the suite never calls, which is half of its time where a
# suite calls little of a core. Programs, examples, emulated machines and the gates have public ones. So have files that only
# declare a function that they name, or are linked with objects.
PUBLIC := test_batch test_patch_blake3 %ledger %chaos %hbtp_peer dxup_evil dxup_craft dxup_evil_sync
PRIVATE = $(if $(filter $(PUBLIC),$(@F)),,$(PRIVATE_COPIES))
.PHONY: private-copies
private-copies: # the same for tests/ports/run.sh SUITE
	@echo '$(if $(filter $(PUBLIC),$(SUITE)),,$(PRIVATE_COPIES))'
PRIVATE_COPIES := $(shell printf '%s\n' $(basename $(notdir $(HEADERS) $(wildcard layers/dx_*.h))) | tr a-z A-Z | sed 's/.*/-D&_STATIC/')

build/test_%: test_%.c build/flags
	$(call TEST_BUILD,$(CFLAGS))
# The vector code of BLAKE3 takes gcc ten seconds with sanitizers. Two suites have it, the others hash by words.
BY_WORDS = $(if $(filter test_cas test_cas_hash,$(@F)),,-DDX_CAS_LANES=1)
# With sanitizers gcc optimises these for longer than they then run.
NOT_OPTIMISED := $(addprefix test_,batch common patch_found patch_hostile patch_more reactor reactor_faults reactor_more reactor_more2 \
	watch workers)
build/asan/test_%: test_%.c build/flags
	$(call TEST_BUILD,$(SANITIZE) $(if $(filter $(NOT_OPTIMISED),$(@F)),-O0) $(BY_WORDS))
build/tsan/test_%: test_%.c build/flags
	$(call TEST_BUILD,-g1 -O1 -fsanitize=thread)
build/ledger: tests/ports/ledger.c build/flags
	$(call TEST_BUILD,$(CFLAGS))
build/asan/ledger: tests/ports/ledger.c build/flags
	$(call TEST_BUILD,$(SANITIZE))
build/update_rules: tests/ports/update_rules.c build/flags
	$(call TEST_BUILD,$(CFLAGS))
build/chaos: tests/ports/chaos.c build/flags
	$(call TEST_BUILD,$(CFLAGS))
build/asan/chaos: tests/ports/chaos.c build/flags
	$(call TEST_BUILD,$(SANITIZE))
build/asan/hbtp_peer: tests/readers/hbtp_peer.c build/flags
	$(call TEST_BUILD,$(SANITIZE))
build/meddler: tests/programs/meddler.c build/flags
	$(CC) $(WARN) $(CFLAGS) $< -o $@ $(LDFLAGS)
# dxpatch with a maker of patches that fails in some codings.
build/dxpatch_failing: tests/programs/dxpatch_failing.c $(DXPATCH:%.c=build/obj/%.o) build/flags
	$(CC) $(WARN) $(CFLAGS) $(filter %.c %.o,$^) -Wl,--wrap=dx_patch_create -o $@ $(LDFLAGS) $(ZSTD_LIBS) $(PACK_LIBS) -lpthread
build/dxup_evil: tests/programs/dxup_evil.c $(patsubst %.c,build/obj/%.o,$(call HEADER,cas crc32c hbtp patch reactor teleport cache edge link tree)) build/flags
	$(call TEST_BUILD,$(CFLAGS) $(ZSTD_CFLAGS),$(filter %.o,$^) $(ZSTD_LIBS))

build/dxup_craft build/dxup_evil_sync: build/%: tests/programs/%.c $(patsubst %.c,build/obj/%.o,$(filter-out %/dxup/main.c,$(DXUP))) $(call TOML_OBJECT,) build/flags
	$(call TEST_BUILD,$(CFLAGS) $(ZSTD_CFLAGS),$(filter %.o,$^) $(ZSTD_LIBS) $(PACK_LIBS) $(if $(filter 1,$(TOML)),-lstdc++))

# What MSVC compiles, here: its _Interlocked functions in words of GCC's or as clang has them, see tests/ports/msvc/intrin.h.
INTERLOCKED := -Itests/ports/msvc -DDX_REACTOR_INTERLOCKED -DDX_RING_INTERLOCKED -fno-strict-aliasing
build/interlocked/test_%: test_%.c tests/ports/msvc/intrin.h build/flags
	$(call TEST_BUILD,$(CFLAGS) $(INTERLOCKED))
build/interlocked/tsan/test_%: test_%.c tests/ports/msvc/intrin.h build/flags
	$(call TEST_BUILD,-g1 -O1 -fsanitize=thread $(INTERLOCKED))
build/interlocked/clang/test_%: test_%.c tests/ports/msvc/intrin.h build/flags
	@mkdir -p $(@D) && clang -std=c11 -Wall -Wextra -Wno-unused-function -O2 -fms-extensions $(INTERLOCKED) $< -o $@ -lpthread

# Other choices of a header, tested like the first: another backend, codecs, the path for big-endian machines on this one.
build/kqueue/test_%: test_%.c tests/ports/kqueue/kqueue_shim.c build/flags
	$(call TEST_BUILD,$(SANITIZE) -DDX_REACTOR_KQUEUE -Itests/ports/kqueue)
build/codec/test_hbtp_codec: test_hbtp_codec.c build/flags
	$(call TEST_BUILD,$(SANITIZE) -DDX_CODEC_ZSTD -DDX_CODEC_SODIUM,-lzstd -lsodium)
build/codec/test_hde: test_hde.c build/flags
	$(call TEST_BUILD,$(SANITIZE) -DDX_HDE_ZSTD,-lzstd)
build/codec/test_container: test_container.c build/flags
	$(call TEST_BUILD,$(SANITIZE) $(ZSTD_CFLAGS) $(PACK_CFLAGS),$(ZSTD_LIBS) $(PACK_LIBS))
build/portable/test_teleport: test_teleport.c build/flags
	$(call TEST_BUILD,$(SANITIZE) -DDX_TELEPORT_LITTLE_ENDIAN=0)

.PHONY: test test-run test-all test-all-run suites check deps deps-all size messages mutants
test: ## every suite once, on this machine, in minutes (installs at most 300 MB first, as `make deps` does)
	@CC='$(CC)' tests/deps.sh test || true
	@$(MAKE) --no-print-directory -s test-run
test-all: ## the rest: other builds, machines, kernels, browsers (installs up to 5 GB first, as `make deps-all` does)
	@CC='$(CC)' tests/deps.sh all || true
	@$(MAKE) --no-print-directory -s test-all-run

RUN = CC='$(CC)' ZSTD='$(ZSTD)' ZLIB='$(ZLIB)' LZMA='$(LZMA)' JOBS='$(JOBS)'
test-run: build/flags
	@$(RUN) LOGS=build/log tests/run.sh test
test-all-run: build/flags
	@$(RUN) LOGS=build/log.all tests/run.sh all
check: build/flags ## the gates alone, with all tools that are here: warnings, C++, include orders, names, sizes, examples ...
	@$(RUN) LOGS=build/log.check tests/run.sh check

suites: ## the names of the suites that `make test` runs, and of those that `make test-all` runs
	@echo "make test:" && $(RUN) tests/run.sh --list test
	@echo "make test-all:" && $(RUN) tests/run.sh --list all

deps: ## install what `make test` needs (Debian, Ubuntu; elsewhere print the list)
	@CC='$(CC)' tests/deps.sh test
deps-all: ## install what `make test-all` needs, too: cross compilers, emulators, a browser
	@CC='$(CC)' tests/deps.sh all

messages: ## every message and help text of the programs, with its place and status, to be read through
	@python3 tests/checks/messages.py . --table

size: ## lines and machine code of each header
	@CC='$(CC)' tests/checks/size.sh

mutants: ## change one operator, constant or statement at a time: do tests fail? CORE=dx_cas [COUNT=200 SEED=1 JOBS=n]
	@CC='$(CC)' JOBS='$(JOBS)' tests/mutants.py '$(or $(CORE),dx_cas)' --count $(or $(COUNT),100) --seed $(or $(SEED),1)
