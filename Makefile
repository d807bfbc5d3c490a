# dx: five single-file headers and the programs that compose them. `make help` lists the targets.
# Settable: CC CFLAGS LDFLAGS ZSTD=0|1 ZLIB=0|1 LZMA=0|1 JOBS=n PREFIX DESTDIR OLD NEW PAIRS

HEADERS := dx_cas.h dx_hbtp.h dx_patch.h dx_reactor.h dx_teleport.h
VERSION := 0.3.0
PREFIX  ?= /usr/local

CFLAGS   ?= -O2 -g
WARN     := -Wall -Wextra
SANITIZE := -g1 -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer

.PHONY: help always
.DELETE_ON_ERROR:

help: ## this list
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "Settable: CC CFLAGS LDFLAGS ZSTD=0|1 ZLIB=0|1 LZMA=0|1 JOBS=n; now CC=$(CC) ZSTD=$(ZSTD) ZLIB=$(ZLIB) LZMA=$(LZMA)"

include mk/found.mk
include mk/programs.mk
include mk/windows.mk
include mk/demo.mk
include mk/tests.mk
include mk/install.mk
include mk/bench.mk

.PHONY: clean
clean: ## remove build/
	rm -rf build
