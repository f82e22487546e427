# The front door. Every target does its own set-up; see `make help`.
BUILD   = build/release
NASFARM = $(BUILD)/controller/nasfarm
JOBS    = $(shell nproc 2>/dev/null || echo 2)
# What `make search` runs: make search ARGS='--trials 300 --space amoebanet'
ARGS    =
PREFIX  = /usr/local

.DEFAULT_GOAL = help
.PHONY: help setup build search check soak bench bench-torch lint format install package clean
.SILENT:

help: ## this list
	echo "nasfarm: parallel neural architecture search"
	echo
	sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20
	echo
	echo "Examples:  make search ARGS='--trials 300'    make install PREFIX=/opt/nasfarm"

setup:
	docker/setup.sh build

build: setup ## compile everything (build/release)
	cmake --preset release -DCMAKE_INSTALL_PREFIX=$(PREFIX) >build-release.log 2>&1 || { cat build-release.log; exit 1; }
	rm -f build-release.log
	cmake --build --preset release -j $(JOBS) -- --quiet

search: build ## search a network for the built-in digits (ARGS=... for more options)
	$(NASFARM) search $(ARGS)

check: setup ## all tests, under AddressSanitizer and UndefinedBehaviorSanitizer
	cmake --preset debug >build-debug.log 2>&1 || { cat build-debug.log; exit 1; }
	rm -f build-debug.log
	cmake --build --preset debug -j $(JOBS) -- --quiet
	ctest --preset debug -j $(JOBS)

soak: build ## the long tests: thousands of kills, all modules of NAS-Bench-101, ten million fuzzed inputs
	cmake --build --preset release --target soak
	tests/fuzz/soak.sh 550000 || [ $$? -eq 77 ]

bench: build ## the benchmarks; each prints what it measures
	cmake --build --preset release --target bench

bench-torch: build ## the same networks here and in PyTorch (apt-get install python3-torch)
	cmake --build --preset release --target bench-torch

lint: setup ## clang's warnings, clang-tidy, clang-format
	docker/setup.sh lint
	tests/lint.sh

format: ## rewrite all C files as .clang-format says
	docker/setup.sh lint
	git ls-files '*.c' '*.h' | xargs clang-format -i

install: build ## install programs and pages under PREFIX (DESTDIR is honoured)
	DESTDIR=$(DESTDIR) cmake --install $(BUILD) --prefix $(PREFIX)

package: setup ## a Debian package of what is here: build/nasfarm_VERSION_ARCHITECTURE.deb
	cmake --preset package >build-package.log 2>&1 || { cat build-package.log; exit 1; }
	rm -f build-package.log
	cmake --build --preset package -j $(JOBS) -- --quiet
	cd build/package && cpack -B _package >cpack.log 2>&1 || { cat cpack.log; exit 1; }
	mv build/package/_package/*.deb build/ && ls build/*.deb

clean: ## remove build/
	rm -rf build
