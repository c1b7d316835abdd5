# One way in for everything; each target sets up what it needs.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
LLAMA  := $(VENV)/.llama
MODELS := $(VENV)/.models
VLLM   ?= .venv-vllm/bin/vllm
OURS   := $(filter .venv-vllm/%,$(VLLM))
PINS   := $(VENV)/pins.txt
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# How llama.cpp is compiled where no wheel of it is in pip's cache. Without GGML_NATIVE a wheel from
# there runs on other processors too. For a GPU, before anything else has brought it, and with nvcc there:
# PIP_NO_CACHE_DIR=1 make llama CMAKE_ARGS=-DGGML_CUDA=on
CMAKE_ARGS ?= -DGGML_NATIVE=OFF -DLLAVA_BUILD=OFF

# torch is no part of the lock file, nor is what it brings for CUDA: which of its builds is right
# depends on the machine. On Linux a plain `pip install` takes the one for CUDA, of several GB; with
# PIP_EXTRA_INDEX_URL set to an index of CPU builds it takes that.
TORCH ?= 2.13.0

COMPILE = $(BIN)/uv pip compile pyproject.toml --universal --extra dev --no-header --no-annotate --no-emit-index-url --no-emit-find-links --quiet

.PHONY: venv llama models demo test test-gpu test-vllm torture check format bench memory lock clean

venv: $(READY)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "apexq needs Python 3.11 or newer; say which one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) --requirement requirements.lock
	$(PIP) --no-deps --editable .
	@touch $@

# llama-cpp-python is compiled: some minutes, once, and a C++ compiler.
llama: $(LLAMA)

$(LLAMA): $(READY) requirements-models.lock
	@$(BIN)/python -c 'import llama_cpp' 2>/dev/null || echo "Installing llama.cpp; compiling it takes some minutes, unless pip has it in its cache."
	CMAKE_ARGS="$(CMAKE_ARGS)" $(PIP) --constraint requirements-models.lock llama-cpp-python jinja2 huggingface-hub \
		|| { echo "llama.cpp could not be installed; compiling it takes a C++ compiler, such as g++."; exit 1; }
	@touch $@

# The libraries of all backends. Where one cannot be had, the others are installed, and the tests
# say at their end what was skipped.
models: $(MODELS)

$(MODELS): $(READY) requirements-models.lock
	@echo "Installing the backends' libraries; where pip has not got them in its cache that takes some minutes."
	@$(PIP) torch==$(TORCH) && CMAKE_ARGS="$(CMAKE_ARGS)" $(PIP) --requirement requirements-models.lock || { \
		{ cat requirements-models.lock; echo torch==$(TORCH); } >$(PINS); \
		for extra in llama hf mlx openai ollama anthropic; do \
			CMAKE_ARGS="$(CMAKE_ARGS)" $(PIP) --constraint $(PINS) --editable ".[$$extra]" || echo "apexq[$$extra] cannot be installed here."; \
		done; }
	@touch $@

# With APEX_GGUF_MODEL_PATH it runs on that model.
demo: $(READY) $(if $(APEX_GGUF_MODEL_PATH),$(LLAMA))
	@$(BIN)/apexq demo

# Tests wait more than they compute: five at once, each file in one process; unit tests, the quickest, last.
# They start many processes, so our files are compiled once also where the shell says not to.
test: $(MODELS)
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses 5 --dist loadfile --no-loadscope-reorder

# On a GPU for CUDA; for llama.cpp's part of it, see CMAKE_ARGS. The figures of five 8B instances take
# 40 GB of its memory and 20 GB of disk.
test-gpu: $(MODELS)
	$(BIN)/python -m pytest tests/gpu

# On real vLLM servers, which are installed into an environment of their own: some GB, some minutes.
# A vLLM that is there is taken with VLLM=/path/to/bin/vllm, such as one for a GPU.
test-vllm: $(MODELS) $(if $(OURS),.venv-vllm/.ready)
	VLLM=$(VLLM) $(BIN)/python -m pytest tests/vllm
	$(if $(OURS),.venv-vllm/bin/python -m pytest tests/vllm/test_engine.py)

.venv-vllm/.ready: tests/vllm/install.py
	$(PYTHON) -m venv .venv-vllm
	.venv-vllm/bin/python tests/vllm/install.py
	@touch $@

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

# Writes the lock files anew from pyproject.toml; the second is the first and the backends' libraries.
lock: $(READY)
	$(PIP) uv
	$(COMPILE) --upgrade --output-file requirements.lock
	echo torch==$(TORCH) >$(PINS)
	$(COMPILE) --upgrade --constraint requirements.lock --constraint $(PINS) --extra models --output-file $(VENV)/models.lock
	grep -vE '^(torch|triton|cuda-|nvidia-)' $(VENV)/models.lock >requirements-models.lock

clean:
	rm -rf $(VENV) .venv-vllm .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
