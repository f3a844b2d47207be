# The two commands: `make demo` and `make test`. Each does all the set-up it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BENCH := $(VENV)/bench
DOCS := $(VENV)/docs
TYPESCRIPT := tests/contract/node/node_modules
BROWSER_CLIENT := clients/typescript/node_modules
LUMIERE := examples/lumiere
NODE_HUB := benchmarks/peers/node_hub
# What the tests start or ask; tools/doctor.py knows the packages.
PROGRAMS := redis-server chromium promtool nginx node npm systemd-analyze
# More at once than cores, since most tests wait. A file's tests stay together, and the first files are those that wait longest.
SIDE_BY_SIDE := -n 4 --dist loadfile --no-loadscope-reorder
# Under coverage, what starts processes or does things many times over takes twice as long and shows nothing new. Nor do tests
# of properties, which run beside those of the clients.
UNCOVERED := tests/system tests/contract/test_fuzz.py tests/browser tests/deploy tests/actors/test_simulation.py \
	tests/web/test_desk_differential.py tests/web/test_fuzz.py tests/backplane/test_simulation.py tests/benchmarks \
	tests/test_lumiere_start.py tests/test_shop.py tests/serving/test_autobahn.py tests/web/test_hypercorn.py \
	tests/web/test_websocket_differential.py tests/backplane/test_nodes.py
T ?=
FOR ?= 0
QUICK ?=
MINUTES ?= 30
REDIS ?=
CHECK ?=
SCOPE ?=
SEEDS ?= 0:8000

.PHONY: help doctor picture hooks npm-scope test-python-client-alone demo docs lumiere shop test test-properties test-typescript lint-typescript test-python-client soak churn lint programs clients format bench \
	curves dist lock clean

help:
	@echo 'make demo     a node, three services and a subscriber in this terminal'
	@echo 'make test     the linters, all tests and their coverage'
	@echo 'make doctor   what is missing on this machine, and why'
	@echo 'make docs     the documentation site, in site/'
	@echo 'Others: CONTRIBUTING.md'

# What is missing, for which command, and how to get it. It installs nothing.
doctor:
	@$(PYTHON) tools/doctor.py

demo: $(VENV)/ready
	@$(BIN)/courier demo --seconds $(FOR)

# In memory, or with what COURIER_REDIS_URL names; LUMIERE_PACE=3 is three times as fast.
lumiere: PROGRAMS := node npm
lumiere: $(VENV)/ready $(LUMIERE)/dist/index.html
	@$(BIN)/python -m examples.lumiere

# A shop of one's own events and channels, in this terminal.
shop: $(VENV)/ready
	@$(BIN)/python -m examples.shop

# Dozens of Python processes read what the first has compiled, though the machine be told to keep nothing.
test: export PYTHONDONTWRITEBYTECODE =
# T=tests/actors runs some of the tests, and nothing else.
ifneq ($(T),)
test: $(VENV)/ready programs $(TYPESCRIPT)/ready $(LUMIERE)/dist/index.html
	$(BIN)/pytest $(T)
else
test: lint programs $(TYPESCRIPT)/ready $(BROWSER_CLIENT)/ready $(LUMIERE)/dist/index.html
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(SIDE_BY_SIDE) $(UNCOVERED:%=--ignore=%) -m 'not hypothesis'
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --include='courier/actors/*,courier/schemas/*' --fail-under=95
	$(BIN)/coverage report --fail-under=90
	$(BIN)/pytest $(SIDE_BY_SIDE) $(UNCOVERED)
	@$(MAKE) --no-print-directory --jobs 3 --output-sync test-typescript lint-typescript test-python-client test-properties
endif

test-properties: $(VENV)/ready
	$(BIN)/pytest -n 2 $(UNCOVERED:%=--ignore=%) -m hypothesis

# The clients: what waits runs beside what computes. Tests in TypeScript write modules beside them, which are not linted.
test-typescript lint-typescript: clients/typescript/dist/index.js
test-typescript: | lint-typescript
	cd clients/typescript && npx vitest run
lint-typescript:
	npm run check --silent --prefix clients/typescript
test-python-client: $(VENV)/ready
	$(BIN)/pytest $(SIDE_BY_SIDE) -c clients/python/pyproject.toml clients/python/tests

# Those that start no node, for systems on which the server does not run.
test-python-client-alone: $(VENV)/ready
	$(BIN)/pytest -c clients/python/pyproject.toml $(addprefix clients/python/tests/test_,events.py outbox.py session.py)

# What `make test` does a few hundred times, a few thousand times; SEEDS=0:20000 asks for more runs of several nodes.
SOAK := $(BIN)/pytest -n 2 --dist worksteal --timeout 900 -o faulthandler_timeout=900
# Behaviour that is the same with and without the desk: these run by the general path as well.
ALSO_WITHOUT_DESK := $(addprefix tests/web/test_,join.py session.py endings.py publish.py batch.py idempotency.py \
	rate_limit.py refusals.py)

soak: $(VENV)/ready programs $(BROWSER_CLIENT)/ready
	cd clients/typescript && COURIER_CLIENTS=500 npx vitest run tests/rolling.test.ts
	$(SOAK) --hypothesis-profile soak -m hypothesis
	COURIER_SEEDS=$(SEEDS) COURIER_CASES=1500 $(SOAK) tests/web/test_desk_differential.py \
		tests/web/test_websocket_differential.py tests/backplane/test_simulation.py
	COURIER_KILLS=200 $(SOAK) tests/backplane/test_sqlite_killed.py
	COURIER_TEST_DESK=off $(SOAK) $(ALSO_WITHOUT_DESK)

# Two minutes are enough to see that it works, and too few to trust what it says.
churn: $(VENV)/ready
	$(BIN)/python -m benchmarks.churn --minutes $(MINUTES) $(if $(REDIS),--redis)

# The tests start servers of their own; no service is set up, since runlevel 1 is one for maintenance.
programs:
	@missing="$$($(PYTHON) tools/doctor.py --missing $(PROGRAMS))"; [ -z "$$missing" ] || \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "Installing what the tests need, which takes a minute: $$missing"; apt-get update -qq && \
		RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; fi
	@$(PYTHON) tools/doctor.py --check $(PROGRAMS)

# The compiler and the schemas that generated documents are held against.
$(TYPESCRIPT)/ready: tests/contract/node/package-lock.json | programs
	npm ci --prefix tests/contract/node --silent --no-audit --no-fund
	@touch $@

$(BROWSER_CLIENT)/ready: clients/typescript/package-lock.json | programs
	npm ci --prefix clients/typescript --silent --no-audit --no-fund
	@touch $@

# The page takes the client's build, and its look from the admin's page.
clients/typescript/dist/index.js: $(BROWSER_CLIENT)/ready \
		$(wildcard $(addprefix clients/typescript/,src/*.ts src/react/*.ts package.json tsconfig.json tsdown.config.ts))
	npm run build --silent --prefix clients/typescript -- --log-level error

$(LUMIERE)/node_modules/ready: $(LUMIERE)/package-lock.json | programs
	npm ci --prefix $(LUMIERE) --silent --no-audit --no-fund
	@touch $@

$(LUMIERE)/dist/index.html: $(LUMIERE)/node_modules/ready clients/typescript/dist/index.js $(LUMIERE)/index.html \
		$(wildcard $(LUMIERE)/src/* $(LUMIERE)/public/* $(LUMIERE)/*.ts courier/web/admin/static/*.css)
	npm run build --silent --prefix $(LUMIERE)

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Every hook of .pre-commit-config.yaml on every file.
hooks: $(VENV)/ready
	$(BIN)/pre-commit run --all-files

# The npm scope is the owner's choice: `make npm-scope SCOPE=@acme` changes it everywhere.
SCOPE_NOW = $(patsubst %/client,%,$(shell node -p 'require("./clients/typescript/package.json").name'))
npm-scope:
	@case '$(SCOPE)' in @*) ;; *) echo 'Say which: make npm-scope SCOPE=@acme'; exit 2;; esac
	git grep -lz '$(SCOPE_NOW)/client' | xargs -0 sed -i 's#$(SCOPE_NOW)/client#$(SCOPE)/client#g'

# What the clients know of events, from the models that the server judges them by.
clients: $(VENV)/ready
	$(BIN)/python clients/python/generate.py
	$(BIN)/courier contract typescript > clients/typescript/src/events.ts

format: $(VENV)/ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# QUICK=1 asks less, of fewer servers. The peer has an environment of its own, so that nothing of it reaches Courier;
# nginx with nchan is only unpacked there, so that no service is set up; what cannot be had is left out, and said.
bench: $(VENV)/ready $(BENCH)/ready
ifeq ($(QUICK),)
	@[ -e $(BENCH)/debian/usr ] || ! command -v apt-get >/dev/null || { cd $(BENCH)/debian && \
		{ apt-get download -qq nginx libnginx-mod-nchan || { [ "$$(id -u)" = 0 ] && apt-get update -qq && \
		apt-get download -qq nginx libnginx-mod-nchan; }; } 2>/dev/null && \
		for package in *.deb; do dpkg-deb --extract $$package . && rm $$package; done; } || \
		echo "Debian's nginx and libnginx-mod-nchan could not be had"
	@[ -e $(NODE_HUB)/node_modules/ready ] || ! command -v npm >/dev/null || \
		{ npm ci --prefix $(NODE_HUB) --silent --no-audit --no-fund && touch $(NODE_HUB)/node_modules/ready; } || \
		echo "The Node hub's packages could not be had"
endif
	$(BIN)/python -m benchmarks $(if $(QUICK),--quick)

# Courier alone, so nothing of the peers is needed.
curves: $(VENV)/ready
	$(BIN)/python -m benchmarks.curves $(if $(QUICK),--quick)

$(BENCH)/ready: requirements-bench.lock $(VENV)/ready
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/pip install --quiet --disable-pip-version-check -r requirements-bench.lock
	@mkdir -p $(BENCH)/debian
	@touch $@

# The moving picture of the README, from a real run.
picture: PROGRAMS := redis-server
picture: $(VENV)/ready programs
	$(BIN)/python -m tools.picture

# The documentation site, in site/: strictly, so that a page that no entry names, or a link into nothing, fails. CHECK=1
# also asks every address outside; the pages about peers cite some.
docs: PROGRAMS := node npm
docs: $(VENV)/ready $(DOCS)/ready tools/site/node_modules/ready $(BROWSER_CLIENT)/ready
	@mkdir -p .site
	$(BIN)/courier contract openapi > .site/openapi.json
	$(BIN)/courier contract asyncapi > .site/asyncapi.json
	$(BIN)/courier contract json-schema > .site/schemas.json
	cd tools/site && npx typedoc --logLevel Warn
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/python -m mkdocs --quiet build --strict
	$(DOCS)/bin/python -m tools.site.check $(if $(CHECK),--extern)

$(DOCS)/ready: requirements-docs.lock $(VENV)/ready
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/pip install --quiet --disable-pip-version-check -r requirements-docs.lock
	@touch $@

tools/site/node_modules/ready: tools/site/package-lock.json | programs
	npm ci --prefix tools/site --silent --no-audit --no-fund
	@touch $@

# What would be published, in dist/, each piece installed into an empty environment and used.
dist: $(VENV)/ready programs $(BROWSER_CLIENT)/ready
	$(BIN)/python -m tools.dist

# One lock for every supported Python: markers say where the versions differ.
lock: $(VENV)/ready
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --no-emit-find-links \
		--custom-compile-command 'make lock' --group dev pyproject.toml clients/python/pyproject.toml \
		--output-file requirements-dev.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --no-emit-find-links \
		--custom-compile-command 'make lock' --constraint requirements-dev.lock --group bench pyproject.toml \
		--output-file requirements-bench.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --no-emit-find-links \
		--custom-compile-command 'make lock' --constraint requirements-dev.lock --group docs \
		--output-file requirements-docs.lock

$(VENV)/ready: requirements-dev.lock pyproject.toml clients/python/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Courier needs Python 3.11 or newer; say which one with: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
		apt-get update -qq && apt-get install -y -qq python3-venv; } || \
		{ echo "Install your system's venv package for Python first (Debian: python3-venv)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable . --editable clients/python
	@touch $@

clean:
	rm -rf $(VENV) $(TYPESCRIPT) $(BROWSER_CLIENT) clients/typescript/dist $(LUMIERE)/node_modules $(LUMIERE)/dist $(NODE_HUB)/node_modules tools/site/node_modules .site site .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache dist
