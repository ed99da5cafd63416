"""When a notebook's picture of a run is taken anew."""

from __future__ import annotations

import pytest

from interactive_dl_widgets.views.stills import EVERY_S, FIRST_S, Taken


@pytest.mark.parametrize("state", ["starting", "running", "regrouping", "paused", "finished"])
def test_the_first_picture_is_taken_at_once(state: str) -> None:
    assert Taken().is_outdated(state, 0.0)


def test_while_a_run_moves_pictures_are_taken_now_and_then() -> None:
    taken = Taken("running", 100.0)
    assert not taken.is_outdated("running", 100.0 + EVERY_S / 2)
    assert not taken.is_outdated("regrouping", 100.0 + EVERY_S / 2)
    assert taken.is_outdated("running", 100.0 + EVERY_S)


@pytest.mark.parametrize("state", ["paused", "finished", "stopped", "failed", "lost"])
def test_a_run_that_rests_has_one_picture(state: str) -> None:
    assert Taken("running", 100.0).is_outdated(state, 100.1)
    assert not Taken(state, 100.1).is_outdated(state, 1e9)


def test_the_first_picture_of_what_moves_waits_until_the_view_has_come_up() -> None:
    opened = Taken.begin(100.0)
    assert not opened.is_outdated("running", 100.0 + FIRST_S / 2)
    assert opened.is_outdated("running", 100.0 + FIRST_S)
    assert opened.is_outdated("finished", 100.0)
