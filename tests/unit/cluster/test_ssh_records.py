"""What the files of a cluster on hosts tell of it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from interactive_dl.cluster import _status
from interactive_dl.cluster._description import Description, Options
from interactive_dl.cluster._places import Places
from interactive_dl.cluster.slurm.worlds import World
from interactive_dl.cluster.ssh.request import request_of
from interactive_dl.telemetry.commands import Collectives


def _recorded(folder: Path, hosts: list[str], collectives: Collectives = "mpi") -> Places:
    """A cluster that was started on hosts."""
    places = Places("here", folder)
    places.folder.mkdir(parents=True)
    request = request_of({"hosts": hosts})
    options = Options(
        request.engines, where="ssh", collectives=collectives, request=asdict(request)
    )
    Description("here", "login", options, 0.0).write(places.description)
    return places


@pytest.mark.parametrize(
    ("hosts", "collectives", "whole"),
    [(("n1",), "mpi", False), (("n1", "n2"), "mpi", True), (("n1", "n2"), "gloo", False)],
)
def test_engines_are_replaced_one_by_one_where_the_others_live_on(
    hosts: tuple[str, ...], collectives: Collectives, whole: bool, tmp_path: Path
) -> None:
    places = _recorded(tmp_path, list(hosts), collectives)
    World(0, tuple(range(len(hosts))), hosts).write(places.folder)
    assert _status.starts_again_whole(places) is whole


def test_it_has_fewer_engines_where_hosts_were_lost(tmp_path: Path) -> None:
    places = _recorded(tmp_path, ["n1", "n2:2"])
    assert _status.size(places) == 3
    World(0, (3,), ("n1",)).write(places.folder)
    assert _status.size(places) == 1
