PYTHON := .venv/bin/python
INSTALLED := .venv/.installed

.PHONY: run test check clean

run: $(INSTALLED)
	.venv/bin/gatecast run -o out

test: $(INSTALLED)
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/pytest -q

check: $(INSTALLED)
	.venv/bin/pytest -q -m slow

clean:
	rm -rf .venv out build dist .pytest_cache .mypy_cache .ruff_cache

$(PYTHON):
	python3 -m venv .venv

$(INSTALLED): pyproject.toml constraints.txt | $(PYTHON)
	$(PYTHON) -m pip install -q -c constraints.txt -e ".[dev]"
	touch $@
