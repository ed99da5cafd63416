# Every target sets the environment up first; the second time that takes no time.
PYTHON ?= $(shell command -v python3.11 || echo python3)
SETUP = $(PYTHON) -m deploy.setup
AS_ROOT = $(if $(filter 0,$(shell id -u)),--allow-root)
export TORCH GPU HUB

.PHONY: help setup mpich demo test lab hub centre bench bench-centre science check clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup:  ## make .venv and build Horovod once (TORCH=1: torch too, GPU=1: CUDA and NCCL)
	@$(SETUP)

mpich:  ## a second environment, .venv-mpich, whose MPI is MPICH: for launcher="srun:pmi2"
	@MPI=mpich $(SETUP)

demo: setup  ## train on a local cluster from a notebook, and print what came of it
	@.venv/bin/idl demo

test:  ## set up with torch, run the whole test suite
	@TORCH=1 HUB=1 $(SETUP)
	@.venv/bin/python tests/run.py

lab: setup  ## JupyterLab on the notebooks
	@.venv/bin/jupyter lab --ip=127.0.0.1 --notebook-dir=notebooks $(AS_ROOT)

hub:  ## JupyterHub on this machine; as root for all its accounts, else for yours
	@HUB=1 $(SETUP)
	@.venv/bin/python -m jupyterhub -f deploy/jupyterhub/workstation.py

centre: setup  ## as root: a shell on the login host of four virtual hosts with a real Slurm
	@.venv/bin/python -m deploy.virtual

bench:  ## set up with torch, run the benchmarks
	@TORCH=1 $(SETUP)
	@.venv/bin/python tests/benchmarks/run.py
	@.venv/bin/python tests/benchmarks/live.py
	@.venv/bin/python tests/benchmarks/browser.py
	@.venv/bin/python tests/benchmarks/steering.py
	@.venv/bin/python tests/benchmarks/search.py
	@.venv/bin/python tests/benchmarks/board.py
	@.venv/bin/python tests/benchmarks/interrupts.py
	@.venv/bin/python tests/benchmarks/scale.py
	@.venv/bin/python tests/benchmarks/threads.py

bench-centre: setup  ## as root: the benchmarks on virtual hosts with a real Slurm
	@.venv/bin/python -m deploy.virtual --nodes 4 .venv/bin/python tests/benchmarks/centre.py
	@.venv/bin/python -m deploy.virtual --nodes 3 .venv/bin/python tests/benchmarks/drills.py
	@.venv/bin/python -m deploy.virtual --nodes 2 .venv/bin/python tests/benchmarks/collectives.py
	@.venv/bin/python -m deploy.virtual --nodes 2 .venv/bin/python tests/benchmarks/hierarchical.py
	@.venv/bin/python -m deploy.virtual --nodes 4 .venv/bin/python tests/benchmarks/staging.py

science: setup  ## train all cases with five seeds and controls, write docs/science.md, run their notebooks
	@.venv/bin/python tests/benchmarks/science.py
	@.venv/bin/python tests/benchmarks/notebooks.py

check: setup  ## ruff, mypy, import-linter, hadolint, nbstripout
	@PATH="$(CURDIR)/.venv/bin:$$PATH" deploy/check.sh

clean:  ## remove .venv and what tools left (the Horovod wheel stays in its cache)
	@rm -rf .venv .venv-mpich .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
