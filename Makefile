# Every task by name; `make` alone lists them. Nothing here needs to be remembered.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Passed on to the command, for example: make test ARGS="tests/unit -k voice"
ARGS ?=
# What the tests need that is no Python package: a browser, a Prometheus, a proxy.
PROGRAMS := $(VENV)/.programs

##@ See it

.PHONY: demo
demo: $(READY) ## watch a conversation die at the connection limit without Filo, and live with it
	@$(BIN)/filo demo $(ARGS)

.PHONY: up
up: $(READY) ## run all services on this machine until Ctrl-C, against the emulator
	@$(BIN)/filo up $(ARGS)

.PHONY: train
train: $(READY) ## start a training run in the services of `make up`, and watch it
	@$(BIN)/filo train $(ARGS)

.PHONY: browser-demo
browser-demo: $(READY) ## serve the browser client's page for the services of `make up`, at http://127.0.0.1:7480
	@PYTHONPATH=.:gen:clients/python $(BIN)/python -m tools.browser_demo

.PHONY: suite
suite: $(READY) ## run every persona against every fault, in services of its own (a few minutes)
	@$(BIN)/filo train --suite suites/limits.yaml --parallel 8 $(ARGS)

.PHONY: two-hours
two-hours: $(READY) ## two hours of conversation, sixty times as fast, across every ten-minute limit
	@$(BIN)/filo train --suite suites/two-hours.yaml $(ARGS)

##@ Work on it

.PHONY: setup
setup: $(READY) ## install what the lock file names into .venv (the other targets do it by themselves)
	@echo "Ready: $(BIN)/filo --help"

.PHONY: test
test: $(READY) $(PROGRAMS) ## run every test, three files at a time; ARGS selects some, which run one by one
	@PYTHONHASHSEED=0 $(BIN)/python -m pytest $(or $(ARGS),-n 3 --dist loadfile)

.PHONY: test-picows
test-picows: $(READY) $(PROGRAMS) ## run the relay's tests and faults with its WebSockets on picows
	@PYTHONHASHSEED=0 FILO_RELAY_TRANSPORT=picows $(BIN)/python -m pytest $(or $(ARGS),-n 3 --dist loadfile tests/unit/relay tests/integration/relay tests/faults)

.PHONY: test-robustness
test-robustness: $(READY) ## kill handle stores under load, for minutes (DURATION=180 SEED=1); 100,000 worthless handles
	@GRPC_ENABLE_FORK_SUPPORT=0 FILO_ROBUSTNESS_SECONDS=$(or $(DURATION),180) FILO_ROBUSTNESS_SEED=$(or $(SEED),1) $(BIN)/python -m pytest -s tests/robustness $(ARGS)
	@FILO_TEST_HANDLES=100000 $(BIN)/python -m pytest tests/integration/handles/test_refused_handles.py

.PHONY: faults
faults: $(READY) ## play every fault at every point of a conversation, and print the matrix (docs/faults.md)
	@PYTHONPATH=.:gen $(BIN)/python -W error -m tests.faults.matrix $(ARGS)

.PHONY: deploy-drill
deploy-drill: $(READY) $(PROGRAMS) ## deploy, kill and pause two relays behind haproxy under 100 talking conversations, and print the table (docs/deploys.md)
	@PYTHONPATH=.:gen:clients/python GRPC_VERBOSITY=ERROR $(BIN)/python -m tests.drills.deploy $(ARGS)

.PHONY: verify
verify: $(READY) ## run every static check: lint, types, contracts, import rules, generated files
	@$(BIN)/python -m tools.verify

.PHONY: fix
fix: $(READY) ## repair what can be repaired: lint, format, generated files
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format --quiet .
	@$(BIN)/buf format --write
	@$(BIN)/python -m tools.generate

.PHONY: gen
gen: $(READY) ## write gen/ from protos/, and the tables in docs/ from the code
	@$(BIN)/python -m tools.generate

.PHONY: baseline
baseline: $(READY) ## accept the contracts as they are: what later changes must stay compatible with
	@$(BIN)/buf build --exclude-source-info --output protos/baseline.binpb
	@echo "protos/baseline.binpb is the new baseline; say in the CHANGELOG what broke."

.PHONY: contract
contract: $(READY) ## hold a running server against the contract (TARGET=host:port CLIENTS=ws://host:port)
	@PYTHONPATH=.:gen:clients/python $(BIN)/python -m services.contract $(or $(TARGET),$(error say TARGET=host:port)) $(if $(CLIENTS),--clients $(CLIENTS)) $(ARGS)

.PHONY: mutate-tables
mutate-tables: $(READY) ## spoil ten rows of the tables that decide, one at a time, and show which unit test notices
	@$(BIN)/python -m tools.mutate_tables $(ARGS)

.PHONY: bench-rotation
bench-rotation: $(READY) ## measure rotations from the client's clock, idle and in mid-speech, and fill docs/rotation-bench.md
	@$(BIN)/python -m bench.rotation $(ARGS)
	@$(BIN)/python -m tools.generate

.PHONY: bench-context
bench-context: $(READY) ## compare the policies for advice: turns, context, tokens billed, rebuilds; fills docs/feedback.md
	@PYTHONPATH=.:gen $(BIN)/python -m bench.context $(ARGS)
	@$(BIN)/python -m tools.generate

.PHONY: soak-emulator
soak-emulator: $(READY) ## talk to the emulator in 200 conversations at once, for a minute
	@PYTHONPATH=.:gen $(BIN)/python -m tests.soak.emulator.soak --conversations 200 --seconds 60 $(ARGS)

.PHONY: storm
storm: $(READY) ## refuse a thousand conversations everything for 30 s, and watch them recover
	@$(BIN)/python -m bench.storm $(ARGS)

.PHONY: bench-runs
bench-runs: $(READY) ## 200 training runs at once in one simulator process: do they pass, and what does one cost?
	@$(BIN)/python -m bench.runs $(ARGS)

.PHONY: bench-handles
bench-handles: $(READY) ## measure the handle store beside a bare gRPC echo, up to a million conversations; fills docs/handles.md
	@GRPC_ENABLE_FORK_SUPPORT=0 $(BIN)/python -m bench.handles $(ARGS)
	@$(BIN)/python -m tools.generate

.PHONY: bench-relay
bench-relay: $(READY) $(PROGRAMS) ## measure what a relayed audio message costs, beside the bare floor, google-genai and haproxy
	@PYTHONPATH=.:gen $(BIN)/python -m bench.relay $(ARGS)

.PHONY: bench-rotating
bench-rotating: $(READY) ## measure whether rotations in a tenth of the conversations are felt in the others
	@PYTHONPATH=.:gen $(BIN)/python -m bench.relay.rotating $(ARGS)

.PHONY: bench-turning
bench-turning: $(READY) ## measure what a turn costs the relay, apart from its frames
	@PYTHONPATH=.:gen $(BIN)/python -m bench.relay.turning $(ARGS)

.PHONY: bench-growing
bench-growing: $(READY) ## measure how the price of a message grows from ten conversations to a thousand
	@PYTHONPATH=.:gen $(BIN)/python -m bench.relay.growing $(ARGS)

.PHONY: soak-relay
soak-relay: $(READY) ## hold 1,000 conversations in one relay, 300 of them talking, for ten minutes
	@PYTHONPATH=.:gen $(BIN)/python -m bench.relay.soak $(ARGS)

##@ Deploy it

.PHONY: image
image: $(READY) ## build the container image with buildah, on a Debian base made here: no daemon, no registry
	@deploy/image/build.sh $(ARGS)

.PHONY: deploy-smoke
deploy-smoke: $(READY) ## build the image, start the manifests with podman, send a training run through them, remove everything
	@BIN=$(BIN) deploy/smoke.sh $(ARGS)

.PHONY: dashboard-pictures
dashboard-pictures: $(READY) $(PROGRAMS) ## draw the dashboards from a real Prometheus while training runs talk (docs/images)
	@PYTHONPATH=.:gen:clients/python $(BIN)/python -m bench.picture

##@ Clean up

.PHONY: clean
clean: ## remove .venv, caches, reports, and the data of `make up`
	@rm -rf $(VENV) .filo reports build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find services tests tools gen -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help
help: ## show this list
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' Makefile

# Up to date while the lock and the packaging are: `make clean setup` starts over.
$(READY): requirements.lock pyproject.toml tools/setup.sh
	@tools/setup.sh $(VENV)

$(PROGRAMS): $(READY) tools/debian.sh Makefile
	@tools/debian.sh chromium=chromium prometheus=prometheus promtool=prometheus haproxy=haproxy
	@touch $@
