# What README shows first: the demo, and the examples that need more than a compiler.

# The older of the demo's two versions is dxup as it was before directories were snapshots.
build/old/%.o: %.c build/flags
	@mkdir -p $(@D)
	$(PROGRAM_CC) -DVERSIONS_NO_SNAPSHOTS -c $< -o $@
build/demo/dxup-1: $(patsubst %.c,build/old/%.o,$(filter-out $(COMMON),$(DXUP))) $(COMMON:%.c=build/obj/%.o) $(call TOML_OBJECT,)
build/demo/dxup-2: $(DXUP:%.c=build/obj/%.o) $(call TOML_OBJECT,)
build/demo/dxup-1 build/demo/dxup-2:
	@mkdir -p $(@D)
	$(TOML_LINK) $(CFLAGS) -s $^ -o $@ $(LDFLAGS) $(ZSTD_LIBS) $(PACK_LIBS) -lpthread

.PHONY: demo demo-run demo-picture dxkeep-picture run-firmware run-www run-feed run-todo run-page-tools run-dxdb run-dxdb-run run-dxwan
demo: ## publish two versions, serve them, pull three times: first copy, update, unchanged [OLD=app-1.0 NEW=app-1.1]
	@CC='$(CC)' tests/deps.sh compiler
	@tests/deps.sh demo || true
	@$(MAKE) --no-print-directory -s demo-run
demo-run: build/dxup build/demo/dxup-1 build/demo/dxup-2
	@programs/dxup/demo.sh $(if $(OLD)$(NEW),'$(OLD)' '$(NEW)')

demo-picture: ## what the demo prints, as docs/demo.svg
	@programs/dxup/demo_picture.py docs/demo.svg
dxkeep-picture: build/dxkeep ## what dxkeep status, timeline and log print in a run of two and a half minutes, as docs/dxkeep.svg
	@programs/dxkeep/picture.py build/dxkeep docs/dxkeep.svg

run-firmware: ## update a Cortex-M3 and a RISC-V board over their UARTs, in emulators
	@CC='$(CC)' examples/firmware/run.sh

run-www: ## a page that keeps an application up to date with patches, on http://127.0.0.1:8000/ (installs what is missing first) [PORT=, ADDR=]
run-feed: ## a dashboard whose rows and application arrive as patches, on http://127.0.0.1:8000/ (installs what is missing first) [PORT=, ADDR=]
run-todo: ## a to-do list from one template, on http://127.0.0.1:8000/ (installs what is missing first) [PORT=, ADDR=]
run-www run-feed run-todo: run-%: run-page-tools
	@CC='$(CC)' examples/www/run.sh $(*:www=page) $(or $(ADDR),127.0.0.1):$(or $(PORT),8000)
run-page-tools:
	@CC='$(CC)' tests/deps.sh compiler
	@tests/deps.sh www || true
	@$(MAKE) --no-print-directory -s build/dxup

run-dxwan: build/dxwan ## a file through a delaying proxy, over more and more connections, and a table of what travelled
	@programs/dxwan/demo.py build/dxwan

run-dxdb: ## a PostgreSQL of its own and dxdb in front of it, on http://127.0.0.1:7080/ (installs what is missing first)
	@CC='$(CC)' tests/deps.sh compiler
	@CC='$(CC)' tests/deps.sh dxdb || true
	@$(MAKE) --no-print-directory -s run-dxdb-run
run-dxdb-run: build/dxdb
	@programs/dxdb/demo.sh build/dxdb
