"""Who is expelled for its silence, and who is not."""

from __future__ import annotations

import errno
from collections.abc import Collection

import pytest

from interactive_dl.telemetry import wire
from interactive_dl.telemetry.exits import Exit
from interactive_dl.telemetry.recorder._attendance import SILENCE_S, Attendance

ALL = (0, 1, 2)


class Scene:
    """A recorder's attendance, and time that passes when a test says so."""

    def __init__(self) -> None:
        self.exits: dict[int, Exit] = {}
        self.is_full = False
        self.now_s = 50.0
        self.attendance = self.restarted()

    def restarted(self) -> Attendance:
        self.attendance = Attendance(lambda: self.exits, self._record, lambda: 1234.5)
        return self.attendance

    def _record(self, ended: Exit) -> None:
        if self.is_full:
            raise OSError(errno.EDQUOT, "Disk quota exceeded")
        self.exits[ended.engine] = ended

    def say(self, engine: int, ended: str = "") -> wire.Roll:
        return self.attendance.attend(wire.Attend(engine, f"n{engine}", 100 + engine, ended))

    def later(self, seconds: float, heard: Collection[int] = ALL) -> set[int]:
        """Time passes; those of ``heard`` attend every half second. The dead, in the end."""
        for _ in range(round(seconds / 0.1)):
            self.now_s += 0.1
            if round(self.now_s * 10) % 5 == 0:
                for engine in heard:
                    self.say(engine)
            self.attendance.tick(self.now_s)
        return set(self.attendance.roll().dead)


def test_whoever_attends_stays() -> None:
    assert Scene().later(60.0) == set()


def test_whoever_is_silent_while_others_are_heard_is_expelled_for_good() -> None:
    scene = Scene()
    scene.later(3.0)
    assert scene.later(SILENCE_S - 1.0, heard=(0, 1)) == set()
    assert scene.later(2.0, heard=(0, 1)) == {2}
    assert scene.exits[2].host == "n2"
    assert "cut off" in scene.exits[2].reason
    assert "cut off" in scene.say(2).dead[2]
    assert scene.later(10.0) == {2}


def test_who_is_expelled_while_nothing_can_be_written_is_noted_later(
    caplog: pytest.LogCaptureFixture,
) -> None:
    scene = Scene()
    scene.later(3.0)
    scene.is_full = True
    assert scene.later(SILENCE_S + 1.0, heard=(0, 1)) == {2}
    assert caplog.text.count("Disk quota exceeded") == 1
    assert scene.exits == {}
    scene.is_full = False
    scene.later(0.2)
    assert "cut off" in scene.exits[2].reason


def test_who_was_expelled_stays_so_when_the_recorder_starts_again() -> None:
    scene = Scene()
    scene.later(3.0)
    scene.later(10.0, heard=(0, 1))
    scene.restarted()
    assert scene.later(1.0) == {2}


def test_while_nobody_is_heard_nobody_is_expelled() -> None:
    scene = Scene()
    scene.later(3.0)
    assert scene.later(60.0, heard=()) == set()
    assert scene.later(SILENCE_S - 2.0, heard=(0,)) == set(), "the others may need a moment, too"
    assert scene.later(3.0) == set()


def test_a_recorder_that_slept_expels_nobody() -> None:
    scene = Scene()
    scene.later(3.0)
    scene.now_s += 3600.0
    scene.attendance.tick(scene.now_s)
    assert scene.later(3.0) == set()


def test_a_watchers_word_is_known_at_once() -> None:
    scene = Scene()
    scene.later(1.0)
    assert scene.say(1, ended="killed by SIGKILL").dead == {1: "killed by SIGKILL"}
    assert scene.exits == {}, "its watcher records it"


def test_whoever_has_ended_elsewhere_is_on_the_roll() -> None:
    scene = Scene()
    scene.later(1.0)
    scene.exits[0] = Exit(0, "n0", 7, 3, None, 1.0, 0)
    scene.later(0.2)
    assert scene.attendance.roll(8) == wire.Roll(8, {0: "exit code 3"})
