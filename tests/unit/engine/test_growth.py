"""Who starts new engines, and what is known of those that get ready."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from interactive_dl.engine import _growth, _inviting, _joining, _live, healing, world
from interactive_dl.engine._growth import Admission, Growth, agreed_on
from interactive_dl.engine._inviting import Heard, Invitation, Ready
from interactive_dl.engine._post import Post
from interactive_dl.engine.group import Group
from interactive_dl.errors import PeerFailedError
from interactive_dl.telemetry import exits
from interactive_dl.telemetry.commands import COLLECTIVES_VARIABLE

INVITATION = Invitation(members=(0, 2), joiners=(3, 4), fit=1, cells=("a", "b"))


@dataclass(frozen=True)
class WorldOfPost:
    """A world whose engines can be written to only."""

    folder: Path
    my_id: int

    def mail(self) -> Post:
        return Post(self.folder, self.my_id)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a cluster without MPI, of which this process is engine 0."""
    monkeypatch.setenv("IDL_CLUSTER", str(tmp_path))
    monkeypatch.setenv(COLLECTIVES_VARIABLE, "gloo")
    monkeypatch.setattr(world, "current", lambda: WorldOfPost(tmp_path, 0))
    return tmp_path


@pytest.fixture
def growth(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Growth:
    """Of two engines, looked at whenever it is asked."""
    monkeypatch.setattr(_growth, "_LOOK_EVERY_S", -1.0)
    return Growth((3, 4))


def member(rank: int, *told: Any) -> Group:
    """One of two members on hosts of their own, who hears what the others say: ``told``."""
    group = SimpleNamespace(
        rank=rank,
        engines=INVITATION.members,
        hosts=("n1", "n2"),
        allgather=lambda mine: [*told, mine],
    )
    return cast("Group", group)


@pytest.mark.parametrize(
    ("hosts", "ranks"),
    [
        ("a", [0, 0, 0]),
        ("ab", [0, 1, 0]),
        ("aab", [2, 0, 2]),
        ("abbb", [0, 0, 0]),
        ("cba", [0, 1, 2]),
    ],
)
def test_engines_are_started_where_the_fewest_are(hosts: str, ranks: Sequence[int]) -> None:
    assert _inviting.starters(hosts, 3) == tuple(ranks)


def test_each_member_starts_engines_on_its_own_host(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []

    def start(where: Path, engine: int, *, is_invited: bool) -> None:
        assert (where, is_invited) == (folder, True)
        heard = _inviting.hear(cast("Any", WorldOfPost(folder, engine)), folder)
        assert heard == Heard(INVITATION, ("n1", "n2", "n1", "n2"))
        assert heard.invitation.group == (0, 2, 3, 4)
        started.append(engine)

    monkeypatch.setattr(healing, "start_alone", start)
    for rank, engine in enumerate(INVITATION.joiners):
        _inviting.invite(member(rank), folder, INVITATION)
        assert started == [engine]
        started.clear()


def test_an_engine_that_cannot_be_started_is_named_with_the_reason(
    growth: Growth, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError("too many processes")

    monkeypatch.setattr(healing, "start_alone", fail)
    _inviting.invite(member(1), folder, INVITATION)
    assert not growth.look()
    assert growth.trouble == "engine 4: it could not be started: too many processes"


def test_of_engines_some_are_ready_and_some_have_died(growth: Growth, folder: Path) -> None:
    Post(folder, 3).say(0, Ready())
    assert not growth.look()
    exits.record_exit(folder, exits.Exit(4, "n2", 9, 1, None, 1.0, 0))
    assert growth.look()
    assert growth.ready == (3,)
    assert growth.trouble == "engine 4: it died; cluster.deaths has the reason"


def test_one_that_is_never_born_is_waited_for_a_while_only(
    growth: Growth, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exits.record_birth(folder, exits.Birth(3, 0, (3,), "n1", 9, 8))
    assert not growth.look()
    assert growth.problems == {}
    monkeypatch.setattr(_growth, "_BIRTH_S", -1.0)
    assert not growth.look()
    assert list(growth.problems) == [4]


def test_what_a_new_engine_is_told_waits_for_it(growth: Growth, folder: Path) -> None:
    growth.dismiss("It is over.", joined=[3])
    assert list(Post(folder, 4).hear(0)) == [Admission(reason="It is over.")]
    assert list(Post(folder, 3).hear(0)) == []


def test_a_new_engine_waits_while_a_member_lives(folder: Path) -> None:
    exits.record_exit(folder, exits.Exit(1, "n1", 9, 1, None, 1.0, 0))
    Post(folder, 2).say(0, Admission((2, 0)))
    assert _joining._await_admission((1, 2)) == Admission((2, 0))
    exits.record_exit(folder, exits.Exit(2, "n1", 9, 1, None, 1.0, 0))
    with pytest.raises(PeerFailedError, match="All ranks of the training died"):
        _joining._await_admission((1, 2))


def test_ranks_of_which_some_did_not_hear_of_new_engines_agree_on_them(growth: Growth) -> None:
    nobody, decided = member(0, None), Growth((3, 4), "c", {3: "", 4: "late"}, is_agreed=True)
    assert agreed_on(nobody, None) is None
    for mine in (None, growth):
        agreed = agreed_on(member(1, growth), mine)
        assert agreed is not None
        assert (agreed.joiners, agreed.is_agreed) == ((3, 4), False)
        agreed = agreed_on(member(1, growth, decided), mine)
        assert agreed is not None
        assert (agreed.command, agreed.ready, agreed.is_agreed) == ("c", (3,), True)


def test_a_rank_that_did_not_hear_of_new_engines_waits_for_them_like_the_others(
    growth: Growth, monkeypatch: pytest.MonkeyPatch
) -> None:
    group, awaited = member(1, growth), []
    monkeypatch.setattr(_live, "current", lambda: group)
    monkeypatch.setattr(_growth, "await_decision", lambda _group, one, _s: awaited.append(one))
    live = _live.Live("run", parameters={})
    live.replace()
    assert [one.joiners for one in awaited] == [growth.joiners]


def test_one_that_goes_on_without_the_dead_learns_of_them_as_well(growth: Growth) -> None:
    live: Any = _live.Live("run", parameters={})
    live._group, live._told = member(1, growth), SimpleNamespace(tell=lambda event: None)
    live._context = SimpleNamespace(position=SimpleNamespace(step=7), has_gone_back=False)
    live._steersman = SimpleNamespace(agree=lambda group: None, is_paused=False)
    live._go_on()
    assert live.growth.joiners == growth.joiners
