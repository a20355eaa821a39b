# make studio   install, and do the main job there is: samples and a drag, into out/
# make test     install, and run every check
PYTHON ?= python3
BIN := .venv/bin

.PHONY: studio test
.DELETE_ON_ERROR:

studio: .venv/ready
	mkdir -p out
	$(BIN)/gansteer sample --model portraits --seeds 0-15 --psi 0.7 --out out/samples.png
	$(BIN)/gansteer drag --model portraits --seed 3 --point 64,76:72,76 --out out/drag.png --film out/drag.webp
	@echo "The pictures are in out/: samples.png, drag.png and the film drag.webp"

test: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2

# PyTorch comes first and alone, so that pip takes the build that this machine has at hand. facenet-pytorch carries the
# weights of a face detector; its requirements (torchvision, an old PyTorch) are those of code that is not used.
.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	@echo "Installing PyTorch and the rest into .venv; this takes a few minutes, once."
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt --editable '.[train,dev]'
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps facenet-pytorch==2.6.0
	touch $@
