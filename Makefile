# One way in for everything; each target sets up what it needs.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
LLAMA  := $(VENV)/.llama

# How llama.cpp is compiled where no wheel of it is in pip's cache. Without GGML_NATIVE a wheel from
# there runs on other processors too. For a GPU: PIP_NO_CACHE_DIR=1 make llama CMAKE_ARGS=-DGGML_CUDA=on
CMAKE_ARGS ?= -DGGML_NATIVE=OFF -DLLAVA_BUILD=OFF

COMPILE = $(BIN)/uv pip compile pyproject.toml --universal --extra dev --no-header --no-annotate --no-emit-index-url --no-emit-find-links --quiet

.PHONY: venv llama demo test torture check format bench memory lock clean

venv: $(READY)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "apexq needs Python 3.11 or newer; say which one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

# llama-cpp-python is compiled: some minutes, once, and a C++ compiler.
llama: $(LLAMA)

$(LLAMA): $(READY) requirements-llama.lock
	@$(BIN)/python -c 'import llama_cpp' 2>/dev/null || echo "Installing llama.cpp; compiling it takes some minutes, unless pip has it in its cache."
	CMAKE_ARGS="$(CMAKE_ARGS)" $(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements-llama.lock \
		|| { echo "llama.cpp could not be installed; compiling it takes a C++ compiler, such as g++."; exit 1; }
	@touch $@

# With APEX_GGUF_MODEL_PATH it runs on that model.
demo: $(READY) $(if $(APEX_GGUF_MODEL_PATH),$(LLAMA))
	@$(BIN)/apexq demo

# Tests wait more than they compute: three at once, each file in one process; unit tests, the quickest, last.
test: $(LLAMA)
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

# Kills, stops and starves a whole stack under load and looks for what was lost or doubled, such as
# make torture JOBS=20000 FAULTS=550 SECONDS=1500 LEASE=15 SEED=1; docs/reliability.md says more.
torture: $(LLAMA)
	@$(BIN)/python -m tests.torture $(if $(JOBS),--jobs $(JOBS)) $(if $(FAULTS),--faults $(FAULTS)) \
		$(if $(SECONDS),--seconds $(SECONDS)) $(if $(LEASE),--lease $(LEASE)) \
		$(if $(SEED),--seed $(SEED)) $(if $(ONLY),--only '$(ONLY)')

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY)
	$(BIN)/python -m benchmarks

# Whether Redis is as empty after 100,000 jobs as before; takes a minute or two.
memory: $(READY)
	$(BIN)/python -m benchmarks.memory

# Writes the lock files anew from pyproject.toml; the second is the first and llama.cpp.
lock: $(READY)
	$(BIN)/python -m pip install --quiet uv
	$(COMPILE) --upgrade --output-file requirements.lock
	$(COMPILE) --upgrade --constraint requirements.lock --extra llama --output-file requirements-llama.lock

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
