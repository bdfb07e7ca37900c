# Every recipe is short; what is longer lives in ci/*.sh. `make` alone lists the targets.
SHELL := /bin/bash
STACK ?= emulator
INVENTORY ?= inventories/local/facts.yml
BIN := .venv/bin
# The limit of `make test` counts from here, with what `make setup` takes on a machine without caches.
BEGUN := $(shell date +%s)
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# Set in many container images. Every start of a command would compile our own modules again: a third of its time.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup up down cloud-up cloud-down local-up local-down verify status doctor lint test unit integration molecule e2e drill-spot drill-data drill-audit drill-failover drill-driver drill-load bench docs docs-site man lock clean

help: ## list the targets
	@grep -hE '^[a-z][a-z0-9-]*:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: ## install what is needed: packages, the Python environment, OpenTofu, the lab's image (again: nothing)
	@ci/setup.sh

up: ## set up, then both tracks on the embedded lab, configured and verified
	@ci/setup.sh --environment-only
	@$(BIN)/dualtrack up

down: ## both tracks down, nothing left behind
	@$(BIN)/dualtrack down

cloud-up: setup ## the cloud track (STACK=aws: a real account, asked before anything changes)
	@$(BIN)/dualtrack cloud up --stack $(STACK)

cloud-down: ## destroy the cloud track (STACK=aws: asked first)
	@$(BIN)/dualtrack cloud down --stack $(STACK)

local-up: setup ## the local track (INVENTORY=path: your own machines)
	@$(BIN)/dualtrack local up --facts $(INVENTORY)

local-down: ## remove the local track's lab hosts; real machines stay as they are
	@$(BIN)/dualtrack local down --facts $(INVENTORY)

verify: ## check by behaviour that every host is as its roles promise
	@$(BIN)/dualtrack verify

status: ## both tracks in one table
	@$(BIN)/dualtrack status

doctor: ## what this machine lacks, and the next step for each
	@$(BIN)/dualtrack doctor

lint: setup ## ruff, mypy, import-linter, ansible-lint, yamllint, shellcheck, tofu fmt and validate, checkov, generated documents, the word list, the documentation site
	@ci/lint.sh

test: setup ## every test that has not passed with the same inputs (ALL=1: every test; FOR=path: what a change to it can break; LIMIT=minutes: what fits)
	@ci/test.sh $(if $(ALL),--all) $(if $(FOR),--for $(FOR)) $(if $(LIMIT),--limit $(LIMIT) --since $(BEGUN)) $(ONLY)

unit: setup ## the tests that need no host
	@$(BIN)/python -m ci.gate $(if $(ALL),--all) unit

integration: setup ## the tests on real parts: the emulated AWS, lab hosts, a simulated fabric
	@ci/test.sh $(if $(ALL),--all) integration

molecule: setup ## every role on live hosts, side by side (ROLE=name: only the scenario of that role)
	@$(BIN)/python -m ci.gate $(if $(ALL),--all) molecule$(if $(ROLE),:$(ROLE))

e2e: setup ## the stories: both tracks, pools, storage, an air-gapped site
	@ci/test.sh $(if $(ALL),--all) e2e

drill-spot: setup ## take spot nodes back while jobs run, on the lab's cloud track (brought up if it is not)
	@$(BIN)/dualtrack cloud up
	@$(BIN)/dualtrack drill spot

drill-data: setup ## kill a hundred pulls and pushes, restore from an archive whose clock runs fast, come up from a mirror alone
	@DUALTRACK_KILLS=100 $(BIN)/pytest tests/integration/test_store.py tests/integration/test_store_sealed.py tests/integration/test_tiers.py -k "killed or pullers or drill" -q -s
	@DUALTRACK_WHOLE=1 $(BIN)/pytest tests/e2e/test_cut_off.py -q -s

drill-audit: setup ## try every attack and print what was prevented, what found; flip every byte of a trail, kill writer, shipper, store and witnesses
	@$(BIN)/dualtrack drill audit
	@DUALTRACK_WHOLE=1 DUALTRACK_KILLS=100 $(BIN)/pytest tests/unit/security/audit/test_chain.py tests/unit/security/audit/test_mutations.py tests/integration/test_audit.py tests/integration/test_audit_ship.py tests/integration/test_opensearch.py -q -s
	@DUALTRACK_KILLS=1000 $(BIN)/pytest tests/unit/security/audit/test_witness.py tests/unit/security/audit/test_quorum.py tests/integration/test_audit_witness.py -q -s
	@DUALTRACK_WHOLE=1 $(BIN)/pytest tests/e2e/test_rotated_track.py -q -s

drill-failover: up ## have engines, link and gateway fail while clients ask 200 times a second, on both tracks of the lab
	@$(BIN)/dualtrack drill failover

drill-driver: setup ## compile Debian's NVIDIA driver, install it by the role in a virtual machine, and load it there
	@DUALTRACK_WHOLE=1 ci/scenario.sh gpu_driver

drill-load: setup ## up, verify, the short spot drill and down, beside four busy loops per processor
	@DUALTRACK_WHOLE=1 $(BIN)/pytest tests/e2e/test_busy_machine.py -q -s

bench: setup ## timings beside their peers, printed as ratios; nothing is asserted
	@ci/bench.sh

docs: setup ## write what is generated: role READMEs, the command reference
	@ci/docs.sh

docs-site: setup ## build the documentation site into build/site, English and Chinese (again in lint: broken links fail)
	@ci/docs_site.sh

man: setup ## write man pages of all commands into build/man (shown by: man -M build/man dualtrack)
	@$(BIN)/python ci/man_pages.py

lock: setup ## resolve every Python environment anew, to exact versions with digests
	@ci/lock.sh --upgrade

clean: ## take the lab down and remove this checkout's environment (caches stay)
	-@$(BIN)/dualtrack lab down
	@rm -rf build .venv .venv-* .lab .mypy_cache .ruff_cache .pytest_cache
