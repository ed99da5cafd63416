"""Ranks that heard different commands, because one died meanwhile, come to the same course."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from interactive_dl.engine import _fit_context
from interactive_dl.engine._position import Position
from interactive_dl.engine._steersman import Steersman
from interactive_dl.engine.knobs import Knob
from interactive_dl.telemetry.steering import Pause, Sent, SetKnobs
from interactive_dl.testing import ThreadRank, ThreadRanks


def steersman(values: dict[str, float], compiled: list[str]) -> Steersman:
    def knob(name: str, needs_retrace: bool) -> Knob:
        return Knob(
            name,
            get=lambda: values[name],
            set=lambda value: values.update({name: value}),
            needs_retrace=needs_retrace,
        )

    def compile_again(force: bool) -> None:
        compiled.append("again")

    model: Any = SimpleNamespace(make_train_function=compile_again)
    knobs = {"momentum": knob("momentum", True), "learning_rate": knob("learning_rate", False)}
    return Steersman(model, knobs, checkpoint=None)


def test_who_has_not_heard_of_a_command_takes_over_what_it_did(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    context = _fit_context.FitContext(())
    monkeypatch.setattr("interactive_dl.engine._steersman.context_of", lambda model: context)

    def program(rank: ThreadRank) -> tuple[dict[str, float], bool, list[str]]:
        values = {"momentum": 0.9, "learning_rate": 0.1}
        compiled: list[str] = []
        mine = steersman(values, compiled)
        if rank.rank == 1:
            for command in (SetKnobs({"momentum": 0.5}), Pause()):
                list(mine.carry_out(Sent("c", "me", command), Position(), at_epoch_end=False))
        compiled.clear()
        mine.agree(rank)  # type: ignore[arg-type]
        return values, mine.is_paused, compiled

    heard = ({"momentum": 0.5, "learning_rate": 0.1}, True)
    ends = ThreadRanks(3).run(program)
    assert [(values, paused) for values, paused, _ in ends] == [heard] * 3
    assert [compiled for _, _, compiled in ends] == [["again"], [], ["again"]]
