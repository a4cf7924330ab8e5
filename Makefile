# The one door to everything. `make help` lists what there is.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TOWPATH := $(BIN)/towpath
# uv takes a fifth of the time that pip takes, but does not read the index in pip's configuration.
INSTALL = index=$${PIP_INDEX_URL:-$$($(BIN)/pip config get global.index-url 2>/dev/null)}; $(BIN)/uv pip install -q $${index:+--default-index=$$index}
# The lines of one package. xds-protos has copies of files of others, so it comes before them, or one of them may win.
pinned = sed -n '/^$(1)==/,/[^\\]$$/p' requirements.txt
# Whatever the caller's environment says: compiling the tests and Towpath takes each process of a run a second.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test unit image sbom fuzz golden lint bench chaos local-up local-down proto proto-base docs drawings site kustomize lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

$(VENV)/.installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: Python 3.11 or newer is needed; set PYTHON=..." >&2; exit 1; }
	@echo "installing the pinned packages into $(VENV) (once)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(call pinned,uv) | $(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r /dev/stdin
	@$(call pinned,xds-protos) | { $(INSTALL) --python $(BIN)/python --require-hashes --no-deps -r /dev/stdin; }
	@$(INSTALL) --python $(BIN)/python --require-hashes --compile-bytecode -r requirements.txt
	@$(INSTALL) --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

demo: $(VENV)/.installed ## the walk-through on a real local Karmada (ARGS=--keep leaves it running)
	@$(TOWPATH) demo $(ARGS)

test: $(VENV)/.installed ## all tests, on a real local Karmada (ARGS="-k export" for some)
	@$(TOWPATH) local packages
	@$(TOWPATH) local build
	@$(BIN)/python -m tests.support.helm version >/dev/null
	@$(BIN)/python -m tests.support.contour
	@$(BIN)/python -m tests.support.chromium
	@$(BIN)/python -m pytest -n $$($(BIN)/python -m tests.support.workers) --dist loadfile --no-loadscope-reorder $(ARGS)

image: $(VENV)/.installed ## build Towpath's image, run it on a node, and check what is in it
	@$(TOWPATH) local packages
	@$(TOWPATH) local build
	@$(BIN)/python -m pytest -m image $(ARGS)

sbom: $(VENV)/.installed ## what is in the image, as CycloneDX: build/sbom.cdx.json
	@mkdir -p build
	@$(BIN)/python -m tests.support.image $$($(TOWPATH) local build --image) >build/sbom.cdx.json

unit: $(VENV)/.installed ## the tests that need neither Go nor Karmada, in a minute and a half
	@$(BIN)/python -m pytest -n 2 --dist worksteal --hypothesis-profile fast tests/unit tests/golden tests/scenarios $(ARGS)

golden: $(VENV)/.installed ## worked cases, one line each (CASES=DIR for those of another folder)
	@$(BIN)/python -m pytest tests/golden -v --no-header --tb=short --cases "$(CASES)"

fuzz: $(VENV)/.installed ## 100 000 bodies against the webhook (BODIES=N for another number)
	@FUZZ_BODIES=$(or $(BODIES),100000) $(BIN)/python -m pytest tests/fuzz --timeout 7200

lint: $(VENV)/.installed ## ruff, mypy --strict, import contracts, dependencies, the gRPC contract
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/deptry .
	@$(BIN)/buf lint
	@$(BIN)/buf breaking --against proto/base.binpb

bench: $(VENV)/.installed ## BENCH=convergence [OUT=file.json]: measured next to its floors, as ratios
	@test -n "$(BENCH)" || { echo "error: say which: make bench BENCH=convergence" >&2; exit 2; }
	@$(BIN)/python -m tests.bench.$(BENCH) $(if $(OUT),--out $(OUT)) $(ARGS)

chaos: $(VENV)/.installed ## kill -9, outages and lies of the apiserver for some minutes, and the verdict (SEED=5)
	@$(TOWPATH) local build
	@$(BIN)/python -m tests.chaos $(if $(SEED),--seed $(SEED)) $(ARGS)

local-up: $(VENV)/.installed ## a local Karmada with three members, and the export KUBECONFIG=... line
	@$(TOWPATH) local up $(ARGS)

local-down: $(VENV)/.installed ## stop it and remove what it wrote
	@$(TOWPATH) local down $(ARGS)

proto: $(VENV)/.installed ## make the gRPC code in plugin/towpath/proto anew from proto/
	@$(BIN)/python -m grpc_tools.protoc -I proto --plugin=protoc-gen-mypy=$(BIN)/protoc-gen-mypy --plugin=protoc-gen-mypy_grpc=$(BIN)/protoc-gen-mypy_grpc --python_out=plugin --mypy_out=quiet:plugin --grpc_python_out=plugin --mypy_grpc_out=only_async,quiet:plugin proto/towpath/proto/v1alpha1/*.proto

proto-base: $(VENV)/.installed ## from here on what proto/ says now must not be broken
	@$(BIN)/buf build --exclude-source-info -o proto/base.binpb

docs: $(VENV)/.installed ## make the pages that are generated from the code anew: reasons, metrics, chart, ...
	@for page in chart cli crds grpc metrics reasons; do $(BIN)/python -m towpath.reference $$page > docs/$$page.md || exit 1; done

drawings: ## draw docs/drawings anew from their text (needs graphviz)
	@for source in docs/drawings/*.dot; do \
	  { dot -Tsvg $$source && echo "<!-- sha256 of the source: $$(sha256sum <$$source | cut -d' ' -f1) -->"; } >$${source%.dot}.svg || exit 1; \
	done

SITE = build/site-venv

site: $(VENV)/.installed ## build the site of docs/ into build/site
	@test -x $(SITE)/bin/mkdocs || { $(BIN)/uv venv -q --clear --python $(BIN)/python $(SITE) && $(INSTALL) --python $(SITE)/bin/python --require-hashes -r deploy/site/requirements.txt; }
	@NO_MKDOCS_2_WARNING=1 $(SITE)/bin/mkdocs build --quiet

kustomize: $(VENV)/.installed ## render deploy/kustomize anew from the chart
	@$(BIN)/python -m tests.support.kustomize

LOCK = $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --custom-compile-command "make lock" -q

lock: $(VENV)/.installed ## pin requirements.txt anew from pyproject.toml, and the image's from it
	@$(LOCK) pyproject.toml --extra dev -U -o requirements.txt
	@echo "mkdocs-material>=9.8.1,<10" | $(LOCK) - -U -o deploy/site/requirements.txt
	@$(LOCK) pyproject.toml -c requirements.txt -o deploy/image/requirements.txt
	@sed -n 's/^requires = \["\(.*\)"\]/\1/p' pyproject.toml | $(LOCK) - -c requirements.txt -o deploy/image/build-requirements.txt
	@printf 'cyclonedx-bom>=7.5,<8\ndebsbom>=0.10.2,<1\n' | $(LOCK) - -c requirements.txt -U -o deploy/image/sbom-requirements.txt

clean: ## what the other targets left in this folder
	@rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
