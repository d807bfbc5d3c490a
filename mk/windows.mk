# The programs for Windows, with mingw. They need nothing but what every Windows has.

WINDOWS_CC   ?= x86_64-w64-mingw32-gcc
WINDOWS_LIBS := -lws2_32 -lntdll -lpsapi -lpthread
PROGRAM_HEADERS := $(HEADERS) $(wildcard layers/*.h) $(shell find programs -name '*.h' 2>/dev/null)

.PHONY: windows
windows: build/windows/dxup.exe build/windows/dxpatch.exe build/windows/dxecho.exe ## dxup, dxpatch and dxecho for Windows, with mingw [WINDOWS_CC=...]

build/windows/dxup.exe: $(DXUP)
build/windows/dxpatch.exe: $(DXPATCH)
build/windows/dxecho.exe: programs/dxecho/dxecho.c $(COMMON)
build/windows/reader.exe: tests/ports/windows_reader.c
build/windows/%.exe: $(PROGRAM_HEADERS)
	@mkdir -p $(@D)
	@command -v $(WINDOWS_CC) >/dev/null || { echo 'missing: $(WINDOWS_CC) (Debian: gcc-mingw-w64-x86-64-win32)'; exit 1; }
	$(WINDOWS_CC) -std=c11 $(WARN) $(CFLAGS) -static -s $(filter %.c,$^) -o $@ $(WINDOWS_LIBS)

# The same choices on this machine (no zstd), which talks to dxup.exe in the tests.
build/windows/dxup: $(DXUP) $(PROGRAM_HEADERS)
	@mkdir -p $(@D)
	$(CC) -std=c11 $(WARN) $(CFLAGS) $(DXUP) -o $@ $(LDFLAGS) -lpthread
