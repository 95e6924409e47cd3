# Every target says what it does: `make` lists them.
.DEFAULT_GOAL := help
PYTHON ?= python3

.PHONY: help install test lint types docs bench bulk-bench verify-bench compiler-bench fuzz onnx-bench mutants example clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

install: ## install for development, with all that tests and examples need
	$(PYTHON) -m pip install -e '.[test,examples]'

test: ## run all tests
	$(PYTHON) -m pytest -n auto

lint: ## check style
	ruff check . && ruff format --check .

types: ## check types, strictly
	pyright

docs: ## write docs/machine.md and docs/isa.md again from the code, and what pages show as printed
	$(PYTHON) -m tspc.tools.manual

bench: ## measure the engines side by side
	$(PYTHON) bench/engines.py

bulk-bench: ## measure bulk mode against bare loops
	$(PYTHON) bench/bulk.py

verify-bench: ## measure the verifier
	$(PYTHON) bench/verify.py

compiler-bench: ## measure what the compiler makes of products and ResNet-50
	$(PYTHON) bench/compiler.py

fuzz: ## run 100,000 random, mutated and damaged programs
	$(PYTHON) bench/fuzz.py

onnx-bench: ## run ONNX's own node tests on the simulated chip
	$(PYTHON) bench/onnx_node_tests.py --reasons

mutants: ## change decisions of the compiler, 200 of them, one at a time, and see which its tests do not notice
	$(PYTHON) bench/mutants.py --most 200

example: ## classify the held-out digits on the simulated chip
	$(PYTHON) examples/digits/classify.py

clean: ## remove what tests and builds leave
	rm -rf build dist .pytest_cache .ruff_cache .hypothesis test/filecheck/Output
