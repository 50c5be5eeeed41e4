# Two commands do everything on a fresh machine: `make demo` and `make test`.
# `make test-all` runs `make test` first, then whatever needs more than Python and a C compiler.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
STAMP := $(VENV)/.installed

.PHONY: demo test test-all interop fuzz lint types check test-python test-native callgrind \
	coverage dist-check wheel-check sbom bench bench-methods results results-retraining peers peers-compression proto viewer docs build clean

# The package and everything the tests need, in a virtual environment of its own.
$(STAMP): pyproject.toml setup.py $(wildcard ext/cmodel/*.pyx ext/cmodel/*.pxd ext/kernels/*)
	@echo "== Making the virtual environment $(VENV) and installing (about 2 minutes)"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade pip
	$(PIP) install -e '.[dev]'
	touch $@

demo: $(VENV)/.demo
	@echo "== Packing the bundled example and running the packed file on its test images"
	sh examples/lenet-fashion/demo.sh $(BIN)/python

# The demonstration needs no development tools.
$(VENV)/.demo: pyproject.toml setup.py $(wildcard ext/cmodel/*.pyx ext/cmodel/*.pxd ext/kernels/*)
	@echo "== Making the virtual environment $(VENV) and installing (about a minute)"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	test -f $(STAMP) || $(PIP) install -e .
	touch $@

test: $(STAMP) lint types test-native test-python dist-check
	@echo "== make test: all passed"

# What needs more than Python and a C compiler: readers in other languages, fuzzing. As root on Debian
# it installs what is missing; what cannot be had is named and left out.
test-all: test
	@sh tests/test_all.sh $(BIN)/python

# Every reader over every conformance vector.
interop: $(STAMP)
	@sh tests/interop/run.sh $(BIN)/python

# An hour of fuzzing by hand: make fuzz SECONDS=3600
SECONDS ?= 60
fuzz: $(STAMP)
	@sh tests/fuzz/run.sh $(BIN)/python $(SECONDS)

check: lint types

lint: $(STAMP)
	@echo "== Linters: ruff, cython-lint, import-linter"
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/cython-lint ext/cmodel
	$(BIN)/lint-imports

COMPILED := $(patsubst src/cmodel/%.pyi,cmodel.%,$(wildcard src/cmodel/_*.pyi))
types: $(STAMP)
	@echo "== Types: mypy --strict"
	$(BIN)/mypy
	@echo "== Stubs of the compiled modules beside what these have: stubtest"
	$(BIN)/stubtest --concise --ignore-unused-allowlist --allowlist ext/stubtest-allowlist.txt $(COMPILED)

test-native:
	@echo "== C kernels alone, under the address and undefined-behaviour sanitizers"
	$(MAKE) -C tests/native

# Instructions of the hot kernels beside the figures that are kept (valgrind); after a change that is
# meant: make callgrind RECORD=--record
CC ?= cc
callgrind:
	@echo "== Instructions of the hot kernels, under callgrind"
	$(PYTHON) tests/native/instructions.py $(CC) $(RECORD)

test-python: $(STAMP)
	@echo "== Python tests"
	$(BIN)/python -m pytest

# What the tests that need no data run through, as pages under build/coverage. For instance
# make coverage TESTS=tests/unit/codecs
coverage: $(STAMP)
	@echo "== Coverage of Python and C"
	$(PIP) install -e '.[coverage]'
	sh tests/coverage.sh $(BIN)/python $(TESTS)

# The package from the sdist is the same as from the tree, and works where it is installed.
dist-check: $(STAMP)
	@echo "== sdist -> wheel -> clean environment"
	$(BIN)/python tests/dist_check.py

# The wheel of a release: sdist, wheel, auditwheel, an environment without a compiler. In copies of a
# bare Debian root, as root: make wheel-check ROOT=FOLDER (docs/releasing.md)
wheel-check:
	@echo "== sdist -> wheel -> manylinux -> environment without a compiler"
	ROOT='$(ROOT)' sh tests/wheel.sh $(PYTHON)

# What the package needs to run, as CycloneDX.
sbom:
	@echo "== Software bill of materials: build/sbom.cdx.json"
	sh tests/sbom.sh $(PYTHON)

bench: $(STAMP)
	@echo "== Benchmarks (ratios against a peer in the same run)"
	$(BIN)/python benchmarks/entropy.py
	$(BIN)/python benchmarks/kmeans.py
	$(BIN)/python benchmarks/load_container.py
	CMODEL_DATA=$${CMODEL_DATA:-../shared} $(BIN)/python benchmarks/masks.py

# The engine beside others; they are installed under build/ (several GB). For instance
# make peers PEERS='--net resnet18,googlenet --batch 1,16 --seconds 60'
peers: $(STAMP)
	@echo "== The engine beside onnxruntime, OpenVINO, ncnn, MNN, OpenCV and PyTorch"
	$(BIN)/python benchmarks/peers.py $(PEERS)

# Seconds and memory of the methods on the largest layers in common use, minutes.
bench-methods: $(STAMP)
	$(BIN)/python benchmarks/methods.py

# The study of docs/results.md, hours; it goes on where it was stopped. For instance
# make results STUDY='--net lenet_bvlc --again rdo'
RESULTS ?= build/results
results: $(STAMP)
	@echo "== Every method on every net: rows, tables and pictures of docs/results.md"
	CMODEL_DATA=$${CMODEL_DATA:-../shared} $(BIN)/python benchmarks/run_results.py $(RESULTS) $(STUDY)
	$(BIN)/python docs/generate_results.py

# Files beside nncodec's at equal KL; nncodec is installed under build/ (several GB). For instance
# make peers-compression PEERS='--nets lenet_bvlc --recipe mine.toml'
peers-compression: $(STAMP)
	@echo "== nncodec (ISO/IEC 15938-17) and k-means on the published models"
	CMODEL_DATA=$${CMODEL_DATA:-../shared} $(BIN)/python benchmarks/peers_compression.py $(PEERS)

# What retraining gives: docs/results-retraining.md. Hours on two cores; for instance
# make results-retraining RUNS='lenet300-dc fashion-60x'
results-retraining: $(STAMP)
	@echo "== Retraining: the studies of docs/results-retraining.md"
	$(PIP) install -e '.[finetune]'
	CMODEL_DATA=$${CMODEL_DATA:-../shared} $(BIN)/python benchmarks/retraining.py run build/retraining $(RUNS)

proto: $(STAMP)
	@echo "== Generating src/cmodel/proto from proto/cmodel"
	$(BIN)/python proto/generate.py

viewer: $(STAMP)
	@echo "== Putting the viewer's page together from viewer/ and the JavaScript reader"
	$(BIN)/python viewer/build.py

# The documentation as a site, build/site/index.html; needs no other part of the project.
docs:
	@echo "== The documentation site"
	$(PYTHON) docs/build_site.py

# Rebuild the compiled side in place after a change in ext/.
build: $(STAMP)
	$(BIN)/python setup.py -q build_clib build_ext --inplace

clean:
	rm -rf $(VENV) build dist .demo src/*.egg-info
	find src -name '*.so' -delete
	find ext -name '_*.c' -path 'ext/cmodel/*' -delete
