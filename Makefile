# Attestune: the commands. Builds go into a folder outside the tree, so that a fresh clone finds what was built before.
export CARGO_TARGET_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/attestune/target
export PATH := $(PATH):$(HOME)/.cargo/bin

.PHONY: setup build build-cuda test demo acceptance interop faults bench bench-pieces tagger kafka-up kafka-down clean

setup:
	@scripts/setup

# The same selection as `cargo test --workspace`: a smaller one has other features and would build RocksDB again.
build: setup
	cargo build --workspace --tests
	@mkdir -p bin
	@install -m 755 "$(CARGO_TARGET_DIR)/debug/attestune" bin/attestune
	@echo "bin/attestune is built"

# bin/attestune-cuda, whose trainer and evaluator can use a card. No card or driver is needed to build it.
build-cuda: setup
	@scripts/build-cuda

# Formatting, lints, every test; the last line counts all of them.
test: setup
	@scripts/test

# The story of a model, from its first ticket to its rollback; with KAFKA=BROKERS by processes that share a topic.
demo: build
	@demo/run $(if $(KAFKA),--kafka "$(KAFKA)")

# The same life on real rows; skipped where the data is absent.
acceptance: build
	@acceptance/run

# What needs heavy tools from outside: Python's peft, an independent verifier.
interop: build
	@scripts/interop

# Long faults: processes killed at random moments, full disks, a storm over a ledger on Kafka.
faults: build
	@scripts/faults $(PART)

# How fast, beside others on this machine: docs/benchmarks.md. PART and EVENTS narrow or widen it.
bench: build
	@scripts/fetch-model
	@bin/attestune bench $(or $(PART),all) --events $(or $(EVENTS),200000) --install

# The inner pieces, by criterion, in the profile that everything else is built in.
bench-pieces: setup
	cargo bench --workspace --profile dev --bench events --bench trees --bench tables --bench training --bench tagger

# Trains the tagger of names and places anew from pinned packages; the model comes out byte for byte as it lies there.
tagger: setup
	cargo run --example train_tagger -- "$$(scripts/tagger-data)" workers/pii/data/tagger.bin
	@git diff --stat --exit-code -- workers/pii/data/tagger.bin && echo "the model is as it was"

# A Kafka cluster of three brokers on free ports, its data in the build folder; prints the bootstrap servers.
kafka-up:
	@scripts/kafka/up --brokers $(or $(BROKERS),3)

kafka-down:
	@scripts/kafka/down

clean:
	rm -rf bin demo/out acceptance/out
