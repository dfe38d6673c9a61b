# SPDX-License-Identifier: BSD-2-Clause
#
# The commands that a person types; Meson and Ninja do the work. `make help` lists them.

BUILD  ?= build
PREFIX ?= /usr/local
# More options for `meson setup`, e.g. MESON_OPTS="--buildtype=debug -Db_sanitize=address".
MESON_OPTS ?=

.PHONY: all setup demo check conformance bench install format clean help

all: $(BUILD)/build.ninja
	@ninja -C $(BUILD) --quiet

$(BUILD)/build.ninja:
	@mkdir -p $(BUILD)
	@meson setup $(BUILD) $(MESON_OPTS) >$(BUILD)/setup.log 2>&1 || \
		{ scripts/setup --verify build && cat $(BUILD)/setup.log; exit 1; }

# A build directory from before the test library was installed has no tests. What this changes in build.ninja has to be
# older than the file that says so, or it would be done anew each time.
$(BUILD)/tests.enabled: $(BUILD)/build.ninja
	@{ meson configure $(BUILD) -Dtests=enabled && ninja -C $(BUILD) --quiet build.ninja; } >$(BUILD)/setup.log 2>&1 || \
		{ cat $(BUILD)/setup.log; exit 1; }
	@touch $@

setup:
	@scripts/setup all

demo:
	@scripts/setup demo
	@$(MAKE) --no-print-directory all BUILD=$(BUILD)
	@scripts/demo $(BUILD)

check:
	@scripts/setup --verify check
	@$(MAKE) --no-print-directory $(BUILD)/tests.enabled BUILD=$(BUILD)
	@$(MAKE) --no-print-directory all BUILD=$(BUILD)
	@scripts/check $(BUILD)

conformance:
	@scripts/setup --verify check
	@$(MAKE) --no-print-directory $(BUILD)/tests.enabled BUILD=$(BUILD)
	@$(MAKE) --no-print-directory all BUILD=$(BUILD)
	@scripts/conformance $(BUILD)

bench:
	@scripts/setup --verify bench
	@$(MAKE) --no-print-directory all BUILD=$(BUILD)
	@bench/run $(BUILD)

install: all
	@{ meson configure $(BUILD) -Dprefix=$(abspath $(PREFIX)) && ninja -C $(BUILD) --quiet && \
		DESTDIR=$(DESTDIR) meson install -C $(BUILD) --no-rebuild --quiet; } >$(BUILD)/install.log 2>&1 || \
		{ cat $(BUILD)/install.log; exit 1; }
	@echo "installed: $(DESTDIR)$(abspath $(PREFIX))/bin/uvfio"

format:
	@git ls-files --cached --others --exclude-standard -- '*.c' '*.h' | xargs clang-format -i

clean:
	rm -rf $(BUILD)

help:
	@echo "make            build everything in $(BUILD)/"
	@echo "make demo       install what is missing, build, and drive the emulated NVMe controller with qemu-img"
	@echo "make check      build and run every test; the last line counts them"
	@echo "make conformance  run the kernel's own tests (Debian's source package, fetched once)"
	@echo "make bench      measure, print a table, write $(BUILD)/bench.json"
	@echo "make install    PREFIX=$(PREFIX) and DESTDIR= say where"
	@echo "make format     lay out every .c and .h file as .clang-format says"
	@echo "make setup      install all packages for building, testing and benchmarks"
	@echo "make clean      remove $(BUILD)/"
