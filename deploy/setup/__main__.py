"""``make setup``: ``[TORCH=1] [GPU=1] [HUB=1] [MPI=mpich] python3 -m deploy.setup``."""

from __future__ import annotations

import hashlib
import os
import platform
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from deploy.setup import horovod, prerequisites, stamp
from deploy.setup.commands import CommandFailedError
from deploy.setup.environment import VirtualEnvironment
from deploy.setup.lock import locked
from deploy.setup.options import MPIS, Options, mpi_from_environment, pinned, requirements
from deploy.setup.progress import elapsed
from deploy.setup.recipe import HOROVOD, recipe_files, recipe_for

CHECKOUT = Path(__file__).resolve().parents[2]
CONSTRAINTS = CHECKOUT / "deploy" / "constraints.txt"
PYPROJECT = CHECKOUT / "pyproject.toml"
PROXY = CHECKOUT / "deploy" / "jupyterhub" / "package.json"


def main() -> int:
    """Bring the environment to what was asked for; the exit code for the shell."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        asked = Options.from_environment(os.environ)
        mpi = mpi_from_environment(os.environ)
    except ValueError as error:
        return _refuse(str(error))
    environment = CHECKOUT / MPIS[mpi]
    if _is_current(environment, asked, mpi):
        return 0
    cache = cache_folder(os.environ)
    problems = prerequisites.missing(prerequisites.this_machine(), hub=asked.hub)
    if problems := (*problems, *prerequisites.unusable(CHECKOUT, cache)):
        return _refuse(*problems)
    name = hashlib.sha256(str(CHECKOUT).encode()).hexdigest()[:10]
    try:
        with locked(cache / "locks" / name, "setting this checkout up"):
            if not _is_current(environment, asked, mpi):
                log = cache / "logs" / f"{name}.log"
                _set_up(VirtualEnvironment(environment, log), asked, mpi)
    except CommandFailedError as error:
        return _refuse(str(error))
    except KeyboardInterrupt:
        return _refuse("Interrupted. Type `make setup` again: it goes on from here.")
    return 0


def cache_folder(variables: Mapping[str, str]) -> Path:
    """Where wheels, locks and logs are kept: ``$XDG_CACHE_HOME`` or ``~/.cache``."""
    base = variables.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "interactive_dl"


def _is_current(environment: Path, asked: Options, mpi: str) -> bool:
    found = stamp.Stamp.read(environment)
    return found is not None and found.digest == _digest(asked.including(found.options), mpi)


def _digest(options: Options, mpi: str) -> str:
    facts = [str(CHECKOUT), platform.python_version(), HOROVOD]
    # What the default environment depends on is as it was before there was a choice.
    facts += [] if mpi == "openmpi" else [*requirements(options, PYPROJECT, mpi)]
    return stamp.digest(options, facts, [PYPROJECT, CONSTRAINTS, PROXY, *recipe_files()])


def _set_up(environment: VirtualEnvironment, asked: Options, mpi: str) -> None:
    started_s = time.monotonic()
    versions = environment.versions() if environment.is_alive() else {}
    options = asked.including(Options.of(versions))
    print(f"Setting up {environment.folder}: {options}.", flush=True)
    stamp.remove(environment.folder)
    # tensorflow and tensorflow-cpu are two packages with the same files: never both.
    if not versions or (options.gpu and "tensorflow-cpu" in versions):
        environment.create()
    _install_packages(environment, options, mpi)
    _install_horovod(environment, options)
    if options.hub:
        environment.npm_install("Installing the hub's proxy", PROXY)
    environment.pip_install(
        "Installing interactive_dl",
        ["--no-deps", "--no-build-isolation", "-e", str(CHECKOUT)],
    )
    stamp.Stamp(_digest(options, mpi), options).write(environment.folder)
    print(f"Ready after {elapsed(time.monotonic() - started_s)}.", flush=True)


def _install_packages(environment: VirtualEnvironment, options: Options, mpi: str) -> None:
    constraints = CONSTRAINTS.read_text()
    environment.pip_install("Installing pip", [f"pip=={pinned(constraints, 'pip')}"])
    environment.pip_install(
        "Installing packages",
        ["-c", str(CONSTRAINTS), *requirements(options, PYPROJECT, mpi)],
        expected=constraints.count("=="),
    )


def _install_horovod(environment: VirtualEnvironment, options: Options) -> None:
    recipe = recipe_for(environment.versions(), gpu=options.gpu, environment=os.environ)
    folder = cache_folder(os.environ) / "horovod" / recipe.key
    wheel = horovod.obtain(horovod.Shelf(folder, environment.python), recipe)
    environment.pip_install(
        "Installing Horovod", ["--no-deps", "--no-index", "--force-reinstall", str(wheel)]
    )
    modules = ["horovod.tensorflow", *(["horovod.torch"] if options.torch else [])]
    environment.check_horovod(modules)


def _refuse(*messages: str) -> int:
    print("\n".join(messages), file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
