# Installation: the headers and layers, the programs with their manual pages and completions, and a pkg-config file.

INSTALLED := dxup dxpatch dxecho dxkeep dxwan $(if $(filter 1,$(DXDB)),dxdb)
LAYERS    := $(wildcard layers/dx_*.h)
SHARE     := $(DESTDIR)$(PREFIX)/share

# The programs make their pages and completions from their tables of commands. These are committed, so that programs for
# another machine can be installed; tests/programs/test_dxup_commands.sh compares them.
.PHONY: install texts
texts: $(INSTALLED:%=build/%) ## manual pages and completions again, after a change of commands or options
	@mkdir -p docs/man docs/completions
	@set -e; for p in $(INSTALLED); do \
	    build/$$p help --as man >docs/man/$$p.1; \
	    build/$$p help --as bash >docs/completions/$$p.bash; \
	    build/$$p help --as zsh >docs/completions/_$$p; \
	    build/$$p help --as fish >docs/completions/$$p.fish; \
	done

# A layer includes its core as "../dx_cas.h", so layers stand in a folder beside the cores.
install: $(INSTALLED:%=build/%) ## headers, layers, programs, manual pages, completions and dx.pc into $(DESTDIR)$(PREFIX)
	install -d '$(DESTDIR)$(PREFIX)/include/dx' '$(DESTDIR)$(PREFIX)/bin' '$(DESTDIR)$(PREFIX)/lib/pkgconfig' \
	    '$(SHARE)/man/man1' '$(SHARE)/bash-completion/completions' '$(SHARE)/zsh/site-functions' '$(SHARE)/fish/vendor_completions.d'
	install -m 644 $(HEADERS) '$(DESTDIR)$(PREFIX)/include'
	$(if $(LAYERS),install -m 644 $(LAYERS) '$(DESTDIR)$(PREFIX)/include/dx')
	install -m 755 $(INSTALLED:%=build/%) '$(DESTDIR)$(PREFIX)/bin'
	install -m 644 $(INSTALLED:%=docs/man/%.1) '$(SHARE)/man/man1'
	set -e; for p in $(INSTALLED); do install -m 644 docs/completions/$$p.bash '$(SHARE)/bash-completion/completions/'$$p; done
	install -m 644 $(INSTALLED:%=docs/completions/_%) '$(SHARE)/zsh/site-functions'
	install -m 644 $(INSTALLED:%=docs/completions/%.fish) '$(SHARE)/fish/vendor_completions.d'
	sed 's|@PREFIX@|$(PREFIX)|; s|@VERSION@|$(VERSION)|' dx.pc.in >'$(DESTDIR)$(PREFIX)/lib/pkgconfig/dx.pc'
	chmod 644 '$(DESTDIR)$(PREFIX)/lib/pkgconfig/dx.pc'
