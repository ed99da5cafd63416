"""Looking at jobs: one question for all, less often while nothing moves."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping

import pytest

from interactive_dl.cluster.slurm import _allocation, commands
from interactive_dl.cluster.slurm.jobs import Job
from interactive_dl.cluster.slurm.silence import Silence
from interactive_dl.cluster.slurm.watching import WATCH, Looking, Pace, Watch
from interactive_dl.errors import SchedulerError


class _Slurm:
    """Answers what it is told to, and remembers what it was asked."""

    def __init__(self) -> None:
        self.jobs: dict[int, Job] = {}
        self.is_silent = False
        self.asked: list[tuple[int, ...]] = []
        self.looked = threading.Condition()

    def look(self, ids: Collection[int]) -> Mapping[int, Job]:
        with self.looked:
            self.asked.append(tuple(sorted(ids)))
            self.looked.notify_all()
        if self.is_silent:
            raise SchedulerError("Slurm does not answer.")
        return dict(self.jobs)

    def await_two_looks(self) -> None:
        """The second one begins after what the first one told is known."""
        with self.looked:
            seen = len(self.asked)
            assert self.looked.wait_for(lambda: len(self.asked) >= seen + 2, timeout=20.0)


def test_all_jobs_are_asked_for_together() -> None:
    slurm = _Slurm()
    slurm.jobs = {1: Job(1, "RUNNING"), 2: Job(2, "PENDING")}
    watch = Watch(slurm.look)
    watch.add(1)
    watch.add(2)
    slurm.await_two_looks()
    slurm.await_two_looks()
    assert slurm.asked[-1] == (1, 2)
    assert watch.job(1) == Job(1, "RUNNING")
    assert watch.job(2) == Job(2, "PENDING")
    watch.remove(1)
    watch.remove(2)
    assert watch.job(1) is None


def test_a_job_that_is_not_listed_any_more_is_over() -> None:
    slurm = _Slurm()
    watch = Watch(slurm.look)
    watch.add(3)
    slurm.await_two_looks()
    gone = watch.job(3)
    watch.remove(3)
    assert gone is not None
    assert gone.is_over


def test_silence_is_told_and_what_was_known_stays() -> None:
    slurm = _Slurm()
    slurm.jobs = {1: Job(1, "RUNNING")}
    watch = Watch(slurm.look)
    watch.add(1)
    slurm.await_two_looks()
    slurm.is_silent = True
    watch.hurry()
    slurm.await_two_looks()
    assert watch.silence == "Slurm does not answer."
    assert watch.job(1) == Job(1, "RUNNING")
    slurm.is_silent = False
    watch.hurry()
    slurm.await_two_looks()
    assert watch.silence == ""
    watch.remove(1)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_has_died_is_started_again() -> None:
    slurm = _Slurm()
    is_broken = True

    def look(ids: Collection[int]) -> Mapping[int, Job]:
        if is_broken:
            raise RuntimeError("no more threads")
        return slurm.look(ids)

    watch = Watch(look)
    watch.add(1)
    assert watch._thread is not None
    watch._thread.join()
    is_broken = False
    watch.add(2)
    slurm.await_two_looks()
    watch.remove(1)
    watch.remove(2)


def test_looks_become_rarer_while_nothing_moves_and_much_rarer_while_nobody_answers() -> None:
    quiet = silent = Pace()
    for _ in range(20):
        quiet = quiet.after(changed=False, answered=True)
        silent = silent.after(changed=False, answered=False)
    assert Pace().pause_s < quiet.pause_s <= 3.0
    assert silent.pause_s == 30.0
    assert silent.after(changed=True, answered=True) == Pace()
    assert silent.after(changed=False, answered=True) == quiet


def test_the_first_node_of_a_job_is_asked_even_when_slurm_has_taken_it_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(commands, "node_names", lambda nodes: tuple(nodes.split("+")))
    cut: set[str] = set()
    now_s = [0.0]
    listed = Job(7, "RUNNING", nodes="n1+n2", first="n1")
    looking = Looking(
        lambda ids: {7: listed},
        lambda node: Silence({node: node}, lambda one: one not in cut, lambda: now_s[0]),
    )
    assert looking([7])[7] == listed
    cut.add("n1")
    now_s[0] = 3.0
    assert looking([7])[7].silent_s == 3.0
    listed = Job(7, "RUNNING", nodes="n2", first="n2")
    cut.clear()
    told = looking([7])[7]
    assert (told.first, told.silent_s, told.is_headless) == ("n1", 0.0, True)


@pytest.mark.parametrize(
    ("job", "avoided"),
    [
        (Job(7, "RUNNING", first="n1"), []),
        (Job(7, "RUNNING", first="n1", silent_s=4.0), ["--exclude=n1"]),
        (Job(7, "RUNNING", first="n1", is_headless=True), ["--exclude=n1"]),
    ],
)
def test_a_follow_on_keeps_off_the_node_that_the_job_before_has_lost(
    monkeypatch: pytest.MonkeyPatch, job: Job, avoided: list[str]
) -> None:
    monkeypatch.setattr(WATCH, "job", {7: job}.get)
    assert _allocation._avoided(7) == avoided
    assert _allocation._avoided(0) == []
