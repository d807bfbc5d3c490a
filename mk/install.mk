# Installation: the headers, the programs, and a pkg-config file.

.PHONY: install
install: build/dxup build/dxpatch ## headers, dxup, dxpatch and dx.pc into $(DESTDIR)$(PREFIX)
	install -d '$(DESTDIR)$(PREFIX)/include' '$(DESTDIR)$(PREFIX)/bin' '$(DESTDIR)$(PREFIX)/lib/pkgconfig'
	install -m 644 $(HEADERS) '$(DESTDIR)$(PREFIX)/include'
	install -m 755 build/dxup build/dxpatch '$(DESTDIR)$(PREFIX)/bin'
	sed 's|@PREFIX@|$(PREFIX)|; s|@VERSION@|$(VERSION)|' dx.pc.in >'$(DESTDIR)$(PREFIX)/lib/pkgconfig/dx.pc'
	chmod 644 '$(DESTDIR)$(PREFIX)/lib/pkgconfig/dx.pc'
