# Installation: the headers and layers, the programs with their manual pages and completions, documents, and a pkg-config file.

INSTALLED := dxup dxpatch dxecho dxkeep dxwan $(if $(filter 1,$(DXDB)),dxdb)
LAYERS    := $(wildcard layers/dx_*.h)
SHARE     := $(DESTDIR)$(PREFIX)/share
# Documents keep their places, so that links between them work.
DOCUMENTS := $(wildcard README.md LICENSE CHANGELOG.md SECURITY.md docs/*.md docs/*.svg docs/*.png docs/formats/*.md programs/*/README.md)
DOC_DIRS  := $(sort $(patsubst %/,%,$(dir $(DOCUMENTS))))

# The programs make their pages and completions from their tables of commands. These are committed, so that programs for
# another machine can be installed; tests/programs/test_dxup_commands.sh compares them.
.PHONY: install uninstall texts
texts: $(INSTALLED:%=build/%) ## manual pages and completions again, after a change of commands or options
	@mkdir -p docs/man docs/completions
	@set -e; for p in $(INSTALLED); do \
	    build/$$p help --as man >docs/man/$$p.1; \
	    build/$$p help --as bash >docs/completions/$$p.bash; \
	    build/$$p help --as zsh >docs/completions/_$$p; \
	    build/$$p help --as fish >docs/completions/$$p.fish; \
	done

# A layer includes its core as "../dx_cas.h", so layers stand in a folder beside the cores.
install: $(INSTALLED:%=build/%) ## headers, layers, programs, manual pages, completions, documents and dx.pc into $(DESTDIR)$(PREFIX)
	install -d '$(DESTDIR)$(PREFIX)/include/dx' '$(DESTDIR)$(PREFIX)/bin' '$(DESTDIR)$(PREFIX)/lib/pkgconfig' \
	    '$(SHARE)/man/man1' '$(SHARE)/bash-completion/completions' '$(SHARE)/zsh/site-functions' '$(SHARE)/fish/vendor_completions.d'
	install -m 644 $(HEADERS) '$(DESTDIR)$(PREFIX)/include'
	$(if $(LAYERS),install -m 644 $(LAYERS) '$(DESTDIR)$(PREFIX)/include/dx')
	install -m 755 $(INSTALLED:%=build/%) '$(DESTDIR)$(PREFIX)/bin'
	install -m 644 $(INSTALLED:%=docs/man/%.1) '$(SHARE)/man/man1'
	set -e; for p in $(INSTALLED); do install -m 644 docs/completions/$$p.bash '$(SHARE)/bash-completion/completions/'$$p; done
	install -m 644 $(INSTALLED:%=docs/completions/_%) '$(SHARE)/zsh/site-functions'
	install -m 644 $(INSTALLED:%=docs/completions/%.fish) '$(SHARE)/fish/vendor_completions.d'
	install -d $(DOC_DIRS:%='$(SHARE)/doc/dx/%')
	set -e; for d in $(DOCUMENTS); do install -m 644 $$d '$(SHARE)/doc/dx/'$$d; done
	sed 's|@PREFIX@|$(PREFIX)|; s|@VERSION@|$(VERSION)|' dx.pc.in >'$(DESTDIR)$(PREFIX)/lib/pkgconfig/dx.pc'
	chmod 644 '$(DESTDIR)$(PREFIX)/lib/pkgconfig/dx.pc'

# What `make install` of this version has put there, dxdb too, though its libraries may be gone. Of directories only those of dx, if
# they are empty then.
EVERY_PROGRAM := $(sort $(INSTALLED) dxdb)
UNINSTALLED   := $(HEADERS:%=include/%) $(LAYERS:layers/%=include/dx/%) lib/pkgconfig/dx.pc $(DOCUMENTS:%=share/doc/dx/%) \
    $(EVERY_PROGRAM:%=bin/%) $(EVERY_PROGRAM:%=share/man/man1/%.1) $(EVERY_PROGRAM:%=share/bash-completion/completions/%) \
    $(EVERY_PROGRAM:%=share/zsh/site-functions/_%) $(EVERY_PROGRAM:%=share/fish/vendor_completions.d/%.fish)
uninstall: ## remove exactly what make install puts into $(DESTDIR)$(PREFIX)
	set -e; for f in $(UNINSTALLED); do rm -f '$(DESTDIR)$(PREFIX)/'$$f; done
	printf '%s\n' include/dx $(DOC_DIRS:%=share/doc/dx/%) share/doc/dx/programs share/doc/dx | LC_ALL=C sort -r | \
	    while read -r d; do rmdir '$(DESTDIR)$(PREFIX)/'$$d 2>/dev/null || :; done
