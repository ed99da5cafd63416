"""Defaults of a site and of a user, under what a call says.

A profile is a TOML file whose tables ``[slurm]`` and ``[ssh]`` have options of a request:

    [slurm]
    partition = "gpu"
    setup = ["module load cuda"]
    omit_directives = ["mem"]

The site's is ``$IDL_SITE_PROFILE``, or else ``/etc/interactive_dl/profile.toml``; the user's
``$XDG_CONFIG_HOME/interactive_dl/profile.toml`` (``~/.config``). Either may be missing.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interactive_dl.errors import RequestError

TABLES = ("slurm", "ssh")


@dataclass(frozen=True)
class Layer:
    """Options from one place.

    Attributes:
        source: ``call``, or the file.
        options: of a request, unchecked.
    """

    source: str
    options: Mapping[str, Any]


def files(variables: Mapping[str, str] = os.environ) -> tuple[Path, ...]:
    """The site's profile, then the user's, whether they exist or not."""
    site = variables.get("IDL_SITE_PROFILE") or "/etc/interactive_dl/profile.toml"
    home = variables.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(site), Path(home) / "interactive_dl" / "profile.toml"


def layers(
    paths: tuple[Path, ...], call: Mapping[str, Any], table: str = "slurm"
) -> tuple[Layer, ...]:
    """What a table of each profile that exists says, then the call: later ones win.

    Raises:
        RequestError: a profile is no TOML, or has anything but the tables.
    """
    return (*(_read(path, table) for path in paths if path.exists()), Layer("call", call))


def merged(found: tuple[Layer, ...]) -> dict[str, Any]:
    """One set of options."""
    return {name: value for layer in found for name, value in layer.options.items()}


def shown(found: tuple[Layer, ...]) -> str:
    """Each option with the place that it comes from, as ``idl profile`` prints it."""
    sources = {name: layer.source for layer in found for name in layer.options}
    options = merged(found)
    width = max(map(len, options), default=0)
    return "\n".join(f"{name:<{width}} = {options[name]!r}  ({sources[name]})" for name in options)


def _read(path: Path, table: str) -> Layer:
    try:
        tables = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise RequestError(f"A profile is a TOML file, but {path} is not: {error}.") from error
    if unknown := sorted(set(tables) - set(TABLES)):
        known = " and ".join(f"[{name}]" for name in TABLES)
        raise RequestError(
            f"A profile has the tables {known} and nothing else, but {path} has"
            f" {', '.join(unknown)}. Write the options under [{table}]."
        )
    options = tables.get(table, {})
    if not isinstance(options, dict):
        raise RequestError(
            f"A profile has options in a table, but {path} has {table} = {options!r}. Write"
            f' [{table}] on a line of its own, and below it options such as interface = "ib0".'
        )
    return Layer(str(path), options)
