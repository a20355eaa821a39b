# make studio   install, and open the studio in the browser
# make test     install, and run every check
# make docs     install, and show the documentation in the browser
PYTHON ?= python3
BIN := .venv/bin

.PHONY: studio test docs
.DELETE_ON_ERROR:

studio: .venv/ready
	$(BIN)/gansteer studio

# Many tests start processes: where bytecode isn't kept, each would compile the package again.
test: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --config-file tests/mypy.ini
	$(BIN)/python tests/studio/browser.py
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2 --dist worksteal

docs: .venv/ready
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve --strict --open

# PyTorch comes first and alone, so that pip takes the build that this machine has at hand. facenet-pytorch carries the
# weights of a face detector; its requirements (torchvision, an old PyTorch) are those of code that is not used.
.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	@echo "Installing PyTorch and the rest into .venv; this takes a few minutes, once."
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt --editable '.[train,dev]'
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps facenet-pytorch==2.6.0
	touch $@
