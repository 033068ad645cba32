PYTHON := .venv/bin/python
INSTALLED := .venv/.installed
DOCUMENTED := .venv/.documented

KERNELS := $(wildcard kernels/*.cpp kernels/*.hpp kernels/CMakeLists.txt)

.PHONY: run test check docs sanitize bench accuracy clean

run: $(INSTALLED)
	.venv/bin/gatecast run -o out

test check: export GATECAST_REQUIRE_NATIVE = 1

test: $(INSTALLED)
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	OMP_NUM_THREADS=1 .venv/bin/pytest -q -n logical --maxprocesses 8 --dist loadfile

check: $(INSTALLED)
	.venv/bin/pytest -q -m slow

docs: $(DOCUMENTED)
	$(PYTHON) -m sphinx -q -W --keep-going -b html docs build/book/html
	@echo "the book: build/book/html/index.html"

sanitize:
	tools/sanitize.sh

bench: $(INSTALLED)
	GATECAST_REQUIRE_NATIVE=1 $(PYTHON) benchmarks/bench.py $(BENCH)

accuracy: $(INSTALLED)
	$(PYTHON) benchmarks/accuracy.py $(DATA) $(ACCURACY)

clean:
	rm -rf .venv out build dist .pytest_cache .mypy_cache .ruff_cache

$(PYTHON):
	python3 -m venv .venv

$(INSTALLED): pyproject.toml constraints.txt $(KERNELS) | $(PYTHON)
	$(PYTHON) -m pip install -q -c constraints.txt -e ".[dev]"
	@$(PYTHON) -c "from gatecast.nn import native; print('recurrent layers run on', native.describe())"
	touch $@

$(DOCUMENTED): $(INSTALLED)
	$(PYTHON) -m pip install -q -c constraints.txt -e ".[dev,docs]"
	touch $@
