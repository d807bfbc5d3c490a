# The programs and the smallest examples. Objects lie below build/obj as their sources lie below the top; those with
# sanitizers below build/asan/obj. What an object was made of is in its .d file, which the compiler writes.

HELLO  := $(patsubst examples/hello/%.c,build/%,$(wildcard examples/hello/hello_*.c))
# What any program needs. The implementation of each header is a file of its own, and a program names those it uses.
COMMON   := $(filter-out %_impl.c %/configured.c,$(wildcard programs/common/*.c))
# Reads options from a configuration; a program with it links toml.o.
CONFIGURED := programs/common/configured.c
HEADER    = $(1:%=programs/common/dx_%_impl.c)
# A store of versions, and the directories in it.
VERSIONS := $(wildcard programs/versions/*.c programs/versions/store/*.c programs/versions/tree/*.c)
# What is compressed in files, for patches between them.
CONTAINERS := $(wildcard programs/containers/*.c)
# Versions and their objects between two machines.
SYNC     := $(wildcard programs/sync/*.c)
# The files of dxup lie in rooms.
DXUP     := $(sort $(shell find programs/dxup -name '*.c' 2>/dev/null)) $(SYNC) $(VERSIONS) $(CONTAINERS) $(COMMON) $(CONFIGURED) \
            $(call HEADER,cas crc32c hbtp patch reactor teleport cache edge link tree)
DXKEEP   := $(wildcard programs/dxkeep/*.c) $(SYNC) $(VERSIONS) $(CONTAINERS) $(COMMON) \
            $(call HEADER,cas crc32c hbtp patch reactor teleport link tree watch)
DXWAN    := $(sort $(shell find programs/dxwan -name '*.c' 2>/dev/null)) $(COMMON) \
            $(call HEADER,bulk cas crc32c hbtp patch reactor link)
DXPATCH  := $(sort $(shell find programs/dxpatch -name '*.c' 2>/dev/null)) $(CONTAINERS) $(wildcard programs/versions/*.c) $(COMMON) \
            $(call HEADER,cas crc32c patch)

.PHONY: all hello
all: hello build/dxup build/dxpatch build/dxecho build/dxkeep build/dxwan $(if $(filter 1,$(DXDB)),build/dxdb) ## the hello programs, dxup, dxpatch, dxecho, dxkeep, dxwan and (with its libraries) dxdb, into build/
	@$(if $(filter 1,$(DXDB)),$(if $(filter 1,$(WSLAY)),:,$(call LEFT_OUT,the WebSockets of dxdb)),$(call LEFT_OUT,dxdb))
	@$(LEFT_OUT_OF_DXKEEP)
# Say what was left out, and what to install for it.
LEFT_OUT = missing=$$(CC='$(CC)' tests/deps.sh --list dxdb) && echo "left out: $(1); $${missing:+missing (Debian's names): }$${missing:-nothing is missing, it was switched off}"
# What dxkeep lacks, and what to install for it; nothing if it has all.
LACKS = $(if $(filter 1,$($(1))),,$(2) (Debian: $(3));)
LEFT_OUT_OF_DXKEEP = lacks='$(strip $(call LACKS,ZSTD,compression with zstd,libzstd-dev) \
    $(call LACKS,FUSE,mount,libfuse3-dev) $(call LACKS,SQLITE,--app sqlite,libsqlite3-dev))'; \
    test -z "$$lacks" || echo "left out of dxkeep: $${lacks%;}"
.PHONY: left-out-of-dxkeep
left-out-of-dxkeep:
	@$(LEFT_OUT_OF_DXKEEP)

hello: $(HELLO) ## one small program for each header

build/hello_%: examples/hello/hello_%.c dx_%.h build/flags
	$(CC) -std=c99 $(WARN) $(CFLAGS) $< -o $@ $(LDFLAGS) -lpthread

PROGRAM_CC = $(CC) -std=c11 $(WARN) $(CFLAGS) $(ZSTD_CFLAGS) $(PACK_CFLAGS) $(TOML_CFLAGS) -MMD -MP
build/obj/%.o: %.c build/flags
	@mkdir -p $(@D)
	$(PROGRAM_CC) -c $< -o $@
build/asan/obj/%.o: %.c build/flags
	@mkdir -p $(@D)
	$(PROGRAM_CC) $(SANITIZE) -c $< -o $@

build/obj/programs/dxkeep/mount.o build/asan/obj/programs/dxkeep/mount.o: PROGRAM_CC += $(FUSE_CFLAGS)
build/obj/programs/dxkeep/app_sqlite.o build/asan/obj/programs/dxkeep/app_sqlite.o: PROGRAM_CC += $(SQLITE_CFLAGS)
build/dxkeep: $(DXKEEP:%.c=build/obj/%.o)
	$(CC) $(CFLAGS) $^ -o $@ $(LDFLAGS) $(ZSTD_LIBS) $(PACK_LIBS) $(FUSE_LIBS) $(SQLITE_LIBS) -lpthread
build/asan/dxkeep: $(DXKEEP:%.c=build/asan/obj/%.o)
	$(CC) $(CFLAGS) $(SANITIZE) $^ -o $@ $(LDFLAGS) $(ZSTD_LIBS) $(PACK_LIBS) $(FUSE_LIBS) $(SQLITE_LIBS) -lpthread

# The only C++ file. A program with it is linked by $(CXX).
TOML_OBJECT = $(if $(filter 1,$(TOML)),build/$(1)obj/programs/common/toml.o)
TOML_CXX    = $(CXX) -std=c++17 $(WARN) $(CFLAGS) -MMD -MP
build/obj/programs/common/toml.o: programs/common/toml.cpp build/flags
	@mkdir -p $(@D)
	$(TOML_CXX) -c $< -o $@
build/asan/obj/programs/common/toml.o: programs/common/toml.cpp build/flags
	@mkdir -p $(@D)
	$(TOML_CXX) $(SANITIZE) -c $< -o $@

TOML_LINK = $(if $(filter 1,$(TOML)),$(CXX),$(CC))
build/dxup: $(DXUP:%.c=build/obj/%.o) $(call TOML_OBJECT,)
	$(TOML_LINK) $(CFLAGS) $^ -o $@ $(LDFLAGS) $(ZSTD_LIBS) $(PACK_LIBS) -lpthread
build/asan/dxup: $(DXUP:%.c=build/asan/obj/%.o) $(call TOML_OBJECT,asan/)
	$(TOML_LINK) $(CFLAGS) $(SANITIZE) $^ -o $@ $(LDFLAGS) $(ZSTD_LIBS) $(PACK_LIBS) -lpthread

build/obj/programs/dxwan/%.o build/asan/obj/programs/dxwan/%.o: PROGRAM_CC += $(TLS_CFLAGS)
build/dxwan: $(DXWAN:%.c=build/obj/%.o) $(call TOML_OBJECT,)
	$(TOML_LINK) $(CFLAGS) $^ -o $@ $(LDFLAGS) $(ZSTD_LIBS) $(TLS_LIBS) -lpthread
build/asan/dxwan: $(DXWAN:%.c=build/asan/obj/%.o) $(call TOML_OBJECT,asan/)
	$(TOML_LINK) $(CFLAGS) $(SANITIZE) $^ -o $@ $(LDFLAGS) $(ZSTD_LIBS) $(TLS_LIBS) -lpthread

build/dxpatch: $(DXPATCH:%.c=build/obj/%.o)
	$(CC) $(CFLAGS) $^ -o $@ $(LDFLAGS) $(ZSTD_LIBS) $(PACK_LIBS) -lpthread
build/asan/dxpatch: $(DXPATCH:%.c=build/asan/obj/%.o)
	$(CC) $(CFLAGS) $(SANITIZE) $^ -o $@ $(LDFLAGS) $(ZSTD_LIBS) $(PACK_LIBS) -lpthread

# dxdb is there where its libraries are: see found.mk.
DXDB_SOURCES := $(wildcard programs/dxdb/*.c) $(COMMON) \
                $(call HEADER,cas crc32c hbtp patch reactor teleport cache link middleware queries states token)
DXDB_OBJECTS  = $(DXDB_SOURCES:%.c=build/$(1)obj/%.o) build/obj/dxdb_page.o $(call TOML_OBJECT,$(1))
DXDB_PAGE    := programs/dxdb/page/index.html programs/dxdb/page/page.js examples/clients/dx_hbtp.mjs examples/clients/dx_patch.mjs \
                examples/www/teleport.js
build/dxdb_page.c: programs/dxdb/embed.sh $(DXDB_PAGE)
	@mkdir -p $(@D)
	sh $^ >$@.new
	mv $@.new $@
build/obj/dxdb_page.o: build/dxdb_page.c build/flags
	@mkdir -p $(@D)
	$(PROGRAM_CC) -I. -c $< -o $@
build/obj/programs/dxdb/%.o build/asan/obj/programs/dxdb/%.o: PROGRAM_CC += $(PQ_CFLAGS) $(WSLAY_CFLAGS)
.PHONY: has-dxdb
has-dxdb:
	@echo $(DXDB)
ifeq ($(DXDB),1)
build/dxdb: $(call DXDB_OBJECTS,)
	$(CXX) $(CFLAGS) $^ -o $@ $(LDFLAGS) -lpq -lhttp_parser $(WSLAY_LIBS) -lssl -lcrypto -lm -lpthread
build/asan/dxdb: $(call DXDB_OBJECTS,asan/)
	$(CXX) $(CFLAGS) $(SANITIZE) $^ -o $@ $(LDFLAGS) -lpq -lhttp_parser $(WSLAY_LIBS) -lssl -lcrypto -lm -lpthread
else
build/dxdb build/asan/dxdb:
	@echo "dxdb needs libpq, http-parser, OpenSSL and toml++ (Debian: libpq-dev libhttp-parser-dev libssl-dev libtomlplusplus-dev g++)" >&2 && exit 1
endif

DXECHO_CC = $(CC) -std=c11 $(WARN) $(CFLAGS) -MMD -MP -MF $@.d -MT $@
build/dxecho: programs/dxecho/dxecho.c $(COMMON:%.c=build/obj/%.o) build/flags
	$(DXECHO_CC) -DNDEBUG $< $(filter %.o,$^) -o $@ $(LDFLAGS) -lpthread
build/asan/dxecho: programs/dxecho/dxecho.c $(COMMON:%.c=build/asan/obj/%.o) build/flags
	@mkdir -p $(@D)
	$(DXECHO_CC) $(SANITIZE) $< $(filter %.o,$^) -o $@ $(LDFLAGS) -lpthread

-include $(shell find build -name '*.d' -type f 2>/dev/null)
