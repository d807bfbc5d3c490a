# What is found on this machine: a compiler, and the libraries that are used where they are.

# `cc` where nothing was asked for and there is one, else the compiler that is there.
ifeq ($(origin CC),default)
  CC := $(or $(notdir $(firstword $(shell command -v cc || command -v gcc || command -v clang))),cc)
endif

# zstd is used when its header and its library are there; ZSTD=0 does without.
ifndef ZSTD
  ZSTD := $(shell mkdir -p build && \
            printf '\043include <zstd.h>\nint main(void) { return ZSTD_versionNumber() == 0; }\n' | \
            $(CC) $(CFLAGS) -x c - -o /dev/null -lzstd 2>/dev/null && echo 1 || echo 0)
endif
ifeq ($(ZSTD),1)
  ZSTD_CFLAGS := -DVERSIONS_ZSTD_LIBRARY
  ZSTD_LIBS   := -lzstd
endif

# zlib and liblzma are for patches between compressed files (programs/containers/), zlib also for the HTTP side of dxup; like
# zstd: ZLIB=0, LZMA=0.
LINKS = $(shell printf '\043include <$(1).h>\nint main(void) { return $(2) == 0; }\n' | \
          $(CC) $(CFLAGS) -x c - -o /dev/null -l$(3) 2>/dev/null && echo 1 || echo 0)
ifndef ZLIB
  ZLIB := $(call LINKS,zlib,zlibCompileFlags(),z)
endif
ifndef LZMA
  LZMA := $(call LINKS,lzma,lzma_version_number(),lzma)
endif
ifeq ($(ZLIB),1)
  PACK_CFLAGS += -DCONTAINERS_ZLIB -DDXUP_ZLIB
  PACK_LIBS   += -lz
endif
ifeq ($(LZMA),1)
  PACK_CFLAGS += -DCONTAINERS_LZMA
  PACK_LIBS   += -llzma
endif

# libfuse3 is for `dxkeep mount`. FUSE=0.
ifndef FUSE
  FUSE := $(shell printf '\043define FUSE_USE_VERSION 31\n\043include <fuse3/fuse.h>\nint main(void) { return fuse_version() == 0; }\n' | \
            $(CC) $(CFLAGS) -D_FILE_OFFSET_BITS=64 -x c - -o /dev/null -lfuse3 2>/dev/null && echo 1 || echo 0)
endif
ifeq ($(FUSE),1)
  FUSE_CFLAGS := -DDXKEEP_FUSE -D_FILE_OFFSET_BITS=64
  FUSE_LIBS   := -lfuse3
endif

# libsqlite3 is for `dxkeep --app sqlite`. SQLITE=0.
ifndef SQLITE
  SQLITE := $(call LINKS,sqlite3,sqlite3_libversion_number(),sqlite3)
endif
ifeq ($(SQLITE),1)
  SQLITE_CFLAGS := -DDXKEEP_SQLITE
  SQLITE_LIBS   := -lsqlite3
endif

# toml++ reads the configurations of dxdb and of `dxwan daemon`; it needs a C++ compiler. TOML=0.
ifndef TOML
  TOML := $(shell printf '\043include <toml++/toml.h>\n' | $(CXX) -std=c++17 -x c++ -E - -o /dev/null 2>/dev/null && echo 1 || echo 0)
endif
ifeq ($(TOML),1)
  TOML_CFLAGS := -DPROG_TOML
endif

# OpenSSL is for the TLS of dxwan: without it dxwan has none. TLS=0.
ifndef TLS
  TLS := $(shell printf '\043include <openssl/ssl.h>\nint main(void) { return TLS_client_method() == 0; }\n' | \
           $(CC) $(CFLAGS) -x c - -o /dev/null -lssl -lcrypto 2>/dev/null && echo 1 || echo 0)
endif
ifeq ($(TLS),1)
  TLS_CFLAGS := -DWAN_TLS
  TLS_LIBS   := -lssl -lcrypto
endif

# libpq, http-parser and OpenSSL are for dxdb: without one of them, or without toml++, there is no dxdb. DXDB=0.
ifndef DXDB
  PQ_CFLAGS := -I$(shell pg_config --includedir 2>/dev/null || echo /usr/include/postgresql)
  DXDB := $(if $(filter 1,$(TOML)),$(shell printf '\043include <libpq-fe.h>\n\043include <http_parser.h>\n\043include <openssl/ssl.h>\nint main(void) { return PQlibVersion() + (int)http_parser_version() + !TLS_server_method() == 0; }\n' | \
            $(CC) $(CFLAGS) $(PQ_CFLAGS) -x c - -o /dev/null -lpq -lhttp_parser -lssl 2>/dev/null && echo 1 || echo 0),0)
endif

# wslay is for the WebSockets of dxdb: without it dxdb refuses them. WSLAY=0.
ifndef WSLAY
  WSLAY := $(if $(filter 1,$(DXDB)),$(shell printf '\043include <wslay/wslay.h>\nint main(void) { return wslay_event_context_server_init == 0; }\n' | \
             $(CC) $(CFLAGS) -x c - -o /dev/null -lwslay 2>/dev/null && echo 1 || echo 0),0)
endif
ifeq ($(WSLAY),1)
  WSLAY_CFLAGS := -DDXDB_WSLAY
  WSLAY_LIBS   := -lwslay
endif

# Everything in build/ is built again when these change.
FLAGS := $(CC) $(CFLAGS) $(LDFLAGS) $(ZSTD_CFLAGS) $(PACK_CFLAGS) $(TOML_CFLAGS) $(WSLAY_CFLAGS) $(FUSE_CFLAGS) $(SQLITE_CFLAGS) $(TLS_CFLAGS)
build/flags: always
	@mkdir -p $(@D)
	@echo '$(FLAGS)' | cmp -s - $@ || echo '$(FLAGS)' >$@
