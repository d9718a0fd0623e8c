# Two commands do everything on a fresh machine with Python 3.11 or newer: `make demo` and `make test`.
PYTHON ?= python3
BIN = .venv/bin

.PHONY: demo test slow docs lock clean

demo: .venv/installed
	$(BIN)/kerakd distill --student B --temp 3 --alpha 0.15 --baseline

test: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest --cov --cov-report=term:skip-covered --cov-fail-under=90

slow: .venv/installed
	$(BIN)/python -m pytest -m slow

docs: .venv/installed
	$(BIN)/python docs/reference.py

.venv/installed: requirements.lock setup.cfg pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@

lock:
	rm -rf build/lock
	$(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet ".[dev,sessions]"
	build/lock/bin/python -m pip freeze --exclude keras-kd > requirements.lock

clean:
	rm -rf .venv build *.egg-info
