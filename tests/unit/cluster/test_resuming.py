"""Which runs begin again when engines are gone, and where."""

from __future__ import annotations

from pathlib import Path

import pytest

from interactive_dl.cluster.resuming import Unfinished, places_of, unfinished, words
from interactive_dl.telemetry import events, journal
from interactive_dl.telemetry.steering import Vacate

CLUSTER = Path("/home/ada/.ipython/interactive_dl/idl-1")
VACATE = events.CommandSent("v", "job 7", Vacate())


def _write(runs: Path, run: str, *told: events.AnyEvent, cluster: Path = CLUSTER) -> None:
    writer = journal.Writer.open(journal.path_of(runs, run), run, str(cluster))
    writer.append(
        [events.encode(events.Record(run, 0, at, 1.0, one)) for at, one in enumerate(told)]
    )
    writer.close()


def _started(*engines: int, name: str = "rpv") -> events.Started:
    hosts = ("n1",) * len(engines)
    return events.Started(name, engines, hosts, 3, source="cells", resumes_from="/a.keras")


@pytest.mark.parametrize(
    "ends",
    [
        (),
        (events.Ended("lost", "engine 1"),),
        (events.Ended("failed", "PeerFailedError: engine 1 died"),),
        (VACATE, events.CommandApplied("v", 3), events.Ended("stopped", "by job 7")),
    ],
)
def test_what_was_cut_short_begins_again(tmp_path: Path, ends: tuple[events.AnyEvent, ...]) -> None:
    _write(tmp_path, "rpv-20260101-000000-0001", _started(0, 1), *ends)
    wanted = Unfinished("rpv-20260101-000000-0001", "rpv", (0, 1), "cells", "/a.keras")
    assert unfinished(tmp_path, CLUSTER, (0, 1)) == (wanted,)


@pytest.mark.parametrize(
    "ends",
    [
        (events.Ended("finished"),),
        (events.Ended("stopped", "by ada@here, after the step"),),
        (events.Ended("failed", "ValueError: a shape"),),
        (VACATE, events.CommandRefused("v", "its search"), events.Ended("stopped")),
    ],
)
def test_what_had_ended_does_not(tmp_path: Path, ends: tuple[events.AnyEvent, ...]) -> None:
    _write(tmp_path, "rpv-20260101-000000-0001", _started(0, 1), *ends)
    assert unfinished(tmp_path, CLUSTER, (0, 1)) == ()


def test_of_one_engine_only_the_latest_run_counts(tmp_path: Path) -> None:
    lost = events.Ended("lost")
    _write(tmp_path, "rpv-20260101-000000-0001", _started(0, 1), lost)
    _write(tmp_path, "cnn-20260101-000001-0002", _started(0, name="cnn"), events.Ended("finished"))
    _write(tmp_path, "gan-20260101-000002-0003", _started(2, 3, name="gan"), lost)
    found = unfinished(tmp_path, CLUSTER, (0, 1, 2, 3))
    assert [one.engines for one in found] == [(2, 3)]


def test_what_has_gone_on_since_does_not_begin_a_third_time(tmp_path: Path) -> None:
    _write(tmp_path, "rpv-20260101-000000-0001", _started(0, 1), events.Ended("lost"))
    _write(tmp_path, "rpv-20260101-000001-0002", _started(2, 3), events.Ended("finished"))
    assert unfinished(tmp_path, CLUSTER, (0, 1, 2, 3)) == ()


def test_runs_of_others_and_on_living_engines_are_left_alone(tmp_path: Path) -> None:
    _write(tmp_path, "rpv-20260101-000000-0001", _started(0, 1), cluster=Path("/other"))
    _write(tmp_path, "rpv-20260101-000000-0002", _started(4, 5))
    assert unfinished(tmp_path, CLUSTER, (0, 1)) == ()


def test_where_a_run_begins_again() -> None:
    whole = Unfinished("r", "r", (0, 1, 2, 3), "", "")
    part = Unfinished("r", "r", (2, 3), "", "")
    assert places_of(whole, (0, 1, 2, 3), (4, 5)) == (4, 5)
    assert places_of(part, (0, 1, 2, 3), (4, 5, 6, 7)) == (6, 7)
    assert places_of(part, (0, 1, 2, 3), (4, 5, 6)) == (6,)
    assert places_of(part, (0, 1, 2, 3), (4, 5)) == (4, 5)


def test_what_is_left_to_a_person_is_said() -> None:
    assert words(["rpv"], []) == "'rpv' goes on from its checkpoint."
    assert "'raw' has no checkpoint to go on from: run its cell again" in words([], ["raw"])
    assert words([], []) == "Nothing had been training."
