# make demo   a first search on synthetic machines, from an empty checkout: install, search, table, models
# make test   the test suite, whole but for what needs several computers
# make test-cluster  searches on three computers made of namespaces; needs root, sshd, iproute2, rsync
# make docs   the documents as a site in site/, with the commands and the Python reference
# make lint   style, types and the import contract
# make test-quick    what needs no Ray, no server and no export
# make test-repeat   make test N times, each in another order and beside a process that never rests
PYTHON ?= python3
BIN := .venv/bin
DEMO := demo
WORKERS ?= 3 # test processes: many tests wait more than they compute
N ?= 10
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder
export RAY_USAGE_STATS_ENABLED := 0
unexport PYTHONDONTWRITEBYTECODE # Python compiles what it imports, once, where pip would compile everything

.PHONY: demo docs test test-cluster test-quick test-repeat lint clean
.DEFAULT_GOAL := demo

.venv/installed: pyproject.toml constraints.txt
	@echo "installing into .venv (about two minutes the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --no-compile --disable-pip-version-check -c constraints.txt --editable .
	@touch $@

.venv/developed: .venv/installed
	@$(BIN)/python -m pip install --no-compile --disable-pip-version-check -c constraints.txt --editable .[dev]
	@touch $@

demo: .venv/installed
	@rm -rf $(DEMO)
	$(BIN)/humtune data synth $(DEMO)/recordings --machines fan,valve --clips 40
	$(BIN)/humtune search quick --trials 6 --data $(DEMO)/recordings --name demo --storage $(DEMO)/runs
	$(BIN)/humtune export demo --single --out $(DEMO)/models --storage $(DEMO)/runs
	$(BIN)/humtune report demo --storage $(DEMO)/runs
	@echo
	@echo "Next, score some recordings with the exported model, or browse the runs:"
	@echo "  $(BIN)/humtune score $(DEMO)/models/fan $(DEMO)/recordings/eval_data/fan/test --out $(DEMO)/scores"
	@echo "  $(BIN)/mlflow ui --backend-store-uri sqlite:///$(DEMO)/runs/mlflow.db"

test: .venv/developed
	$(PYTEST) -m "not cluster"

test-cluster: .venv/developed
	$(BIN)/python -m pytest -m cluster

test-quick: .venv/developed
	$(PYTEST) -m "not integration and not cluster and not slow"

test-repeat: .venv/developed
	@mkdir -p .test-repeat; while :; do :; done & busy=$$!; trap "kill $$busy" EXIT; red=0; \
	for seed in $$(seq $(N)); do log=.test-repeat/$$seed.log; \
	  if $(PYTEST) -m "not cluster" --shuffle $$seed > $$log 2>&1; then echo "$$seed: $$(tail -1 $$log)"; \
	  else red=1; echo "$$seed: $$(tail -1 $$log), see $$log"; grep -E "^(FAILED|ERROR)" $$log; fi; \
	done; exit $$red

docs: .venv/developed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

lint: .venv/developed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf .venv $(DEMO) site dist .test-repeat .pytest_cache .mypy_cache .ruff_cache .hypothesis
