# All the set-up there is: `make demo` shows what the library does, `make test` proves it. Both install what they need.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --no-input
OUT := out/demo
GPU_PYTHON ?= $(if $(wildcard $(PY)),$(PY),$(PYTHON))
GPU_OUT ?= docs/gpu

.NOTPARALLEL:
.PHONY: help demo test soak lint venv gl xvfb wheel-check gpu-check clean

help:
	@echo "make demo         render a page, look at it, at a photograph, and for something in it; pictures in $(OUT)"
	@echo "make test         lint, type check and all tests"
	@echo "make soak         the viewer under ten minutes of random input; SOAK_S says how many seconds"
	@echo "make lint         ruff and mypy alone"
	@echo "make wheel-check  build the wheel and use it from elsewhere"
	@echo "make gpu-check    what only an NVIDIA GPU can prove, with \$$(GPU_PYTHON) from the source tree; report in docs/gpu"
	@echo "make venv         only install: Python packages into $(VENV)"
	@echo "make clean        remove what the targets above made, $(VENV) included"

demo: venv gl
	$(PY) examples/01_make_page.py $(OUT)
	$(PY) -m homunculus look $(OUT)/page.png --at 0.62,0.31 --out $(OUT)/page
	$(PY) examples/04_overview.py $(OUT)
	$(PY) -m homunculus look examples/data/photograph.jpg --at 0.43,0.22 --out $(OUT)/photograph
	$(PY) -m homunculus look examples/data/photograph.jpg --query "orange, bottom left" --out $(OUT)/query
	@echo
	@echo "Open these, side by side:"
	@for look in page photograph query; do for picture in footprints reconstruction; do \
		echo "  $(OUT)/$$look/$$picture.png"; done; done
	@echo "  $(OUT)/query/relevance.png"

test: lint gl xvfb
	$(PY) -m pytest

soak: venv gl xvfb
	SOAK_S=$${SOAK_S:-600} $(PY) -m pytest -s tests/test_viewer_window.py -k soak

lint: venv
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

venv: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is $$($(PYTHON) --version 2>&1); 3.11 or newer is needed: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || .ci/debian-packages python3-venv || \
		{ echo "$(PYTHON) cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -c constraints.txt -e '.[dev]'
	@touch $@

# The system's EGL and Mesa, only where no OpenGL context opens without them; the torch backend needs neither.
gl: $(VENV)/gl-checked

$(VENV)/gl-checked: $(VENV)/installed
	@$(PY) .ci/opens_gl.py || { .ci/debian-packages libegl1 libgl1 libgl1-mesa-dri && $(PY) .ci/opens_gl.py; } || \
		echo "No OpenGL 4.3 here: going on with the torch backend."
	@touch $@

# A virtual screen and a hand for the mouse, only where they are missing; the tests of the window are skipped without them.
xvfb: $(VENV)/xvfb-checked

$(VENV)/xvfb-checked: $(VENV)/installed
	@command -v Xvfb >/dev/null && command -v xdotool >/dev/null || .ci/debian-packages xvfb xdotool || \
		echo "No virtual screen here: going on without the tests of the window."
	@touch $@

wheel-check: venv
	$(PY) .ci/check_wheel.py

# Installs nothing: GPU_PYTHON has a CUDA build of torch, cuda-bindings, moderngl and pytest.
gpu-check:
	$(GPU_PYTHON) .ci/gpu_check.py --out $(GPU_OUT)

clean:
	rm -rf $(VENV) out dist build
