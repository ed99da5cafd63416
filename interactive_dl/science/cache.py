"""Generated samples are kept: a folder for each recipe, whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from interactive_dl.science.definition import C, Case

RECIPE = "recipe.json"


def default_folder() -> Path:
    """``$XDG_CACHE_HOME/interactive_dl``, or the same in ``~/.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "interactive_dl"


def prepare(case: Case[C], config: C, seed: int, cache: Path) -> Path:
    """The folder with a case's files in ``cache``; they are generated where they are not there.

    Its name is made of the recipe, so that other sizes and seeds lie elsewhere; ``recipe.json`` in
    it says the recipe.
    """
    recipe = case.recipe(config, seed)
    target = cache / f"{case.name}-{_digest(recipe)}"
    if target.is_dir():
        return target
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    unfinished.mkdir(parents=True)
    try:
        case.write(config, unfinished, seed)
        (unfinished / RECIPE).write_text(json.dumps(recipe, indent=1))
        _publish(unfinished, target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return target


def _publish(unfinished: Path, target: Path) -> None:
    try:
        unfinished.rename(target)
    except OSError:
        if not target.is_dir():  # another process may have been first, with the same samples
            raise


def _digest(recipe: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:12]
