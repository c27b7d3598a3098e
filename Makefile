# The ways in: each target sets up, builds and runs. Everything is in CMake; this file only spares typing.
PREFIX ?= /usr/local
BENCH_FLAGS ?= --size 1024x2048
PAPER_FLAGS ?= --warmup 2 --duration 10
PEERS_FLAGS ?= --json build/peers.json

.DEFAULT_GOAL := help
.PHONY: help build test bench paper-table demo peers gpu-bundle install package check format clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' Makefile

# A folder that is configured keeps its options; a new one leaves the tests out, so that it needs fewer packages.
build: ## build the library and the command into build/
	@scripts/setup.sh build
	@test -f build/build.ninja || cmake --preset release -DFASTSCNN_TESTS=OFF
	@cmake --build build --target fastscnn_cli

test: ## build and run every test, also under sanitizers; ends with a line of counts
	@scripts/setup.sh build test
	@scripts/test.sh

bench: build ## measure frames per second and latency at 1024x2048 (BENCH_FLAGS=... for other options)
	@build/bin/fastscnn bench $(BENCH_FLAGS)

paper-table: build ## measure the paper's table of speeds and write it into docs/performance.md (PAPER_FLAGS=...)
	@python3 bench/paper_table.py $(PAPER_FLAGS)

demo: build ## label a generated street with the bundled model (or FASTSCNN_WEIGHTS) into build/demo/ (SEED=...)
	@scripts/demo.sh $(SEED)

.venv/ready: bench/requirements.txt
	@scripts/setup.sh peers
	python3 -m venv .venv
	.venv/bin/pip install --quiet --requirement bench/requirements.txt
	@touch $@

peers: build $(if $(PYTHON),,.venv/ready) ## measure beside ONNX Runtime, OpenVINO, PyTorch (PYTHON=one that has them)
	@$(or $(PYTHON),.venv/bin/python) bench/peers.py $(PEERS_FLAGS)

gpu-bundle: ## build what a GPU machine needs to test and measure into build-gpu/bundle/ (ARCH=90)
	@scripts/gpu-bundle.sh $(if $(ARCH),ARCH=$(ARCH)) $(if $(OUT),OUT=$(OUT))

install: build ## install into PREFIX (default /usr/local)
	@cmake --install build --prefix "$(PREFIX)"

package: build ## make the .tar.gz and the .deb packages in build/packages/
	@scripts/setup.sh package
	@cd build && cpack -B packages

check: ## look at the tree alone: include rule, headers, text, format, static analysis
	@scripts/setup.sh check
	@python3 -B tests/house/house.py

format: ## format all C sources
	@scripts/setup.sh check
	@python3 -B tests/house/house.py --list-c | xargs clang-format -i

clean: ## remove what was built
	rm -rf build build-asan build-tsan build-debug build-fuzz build-gpu
