"""A training that is watched and steered while it runs: rank 0 speaks for the group.

Between two steps rank 0 looks whether commands have come. If so, or if a rank was interrupted, or a
report is due, it raises a flag of the control word; after the step all ranks see it, meet, and do
the same. Rank 0 tells the journal, whose owner may be the recorder or, without one, rank 0 itself.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any

import keras

from interactive_dl.engine import _control, _growth, _phases, _printed, _program, _rate, _told
from interactive_dl.engine import knobs as _knobs
from interactive_dl.engine._checkpoint import Checkpoint
from interactive_dl.engine._control import Flag
from interactive_dl.engine._fit_context import context_of
from interactive_dl.engine._interrupt import AgreedInterrupt, Signals
from interactive_dl.engine._inviting import CannotGrowError
from interactive_dl.engine._recovery import Lost, OnRankLoss
from interactive_dl.engine._reduction import distributed_optimizers
from interactive_dl.engine._reports import Reports
from interactive_dl.engine._steersman import Steersman
from interactive_dl.engine.group import Group, current
from interactive_dl.engine.schedules import Rule
from interactive_dl.telemetry import events, replay
from interactive_dl.telemetry.steering import Grow, Sent, Vacate

_BEGUN: Counter[str] = Counter()  # runs of this process, by name
_LOOK_AROUND_S = 0.1
_REPORT_EVERY_S = 0.2
_REPLACEMENTS_S = 120.0


class Live(keras.callbacks.Callback):
    """Publishes the run and carries out commands, on every rank after the same step.

    Its presence has ``fit`` leave interrupts to it (``heeds_interrupts``).

    Args:
        name: the run's name.
        parameters: what the person wants to find again beside the curves.
        knobs: further knobs besides those of optimizer and dropout layers.
        on_rank_loss: ``shrink`` to go on with the ranks that live, ``restart`` to replace the dead
            and go back to the checkpoint, ``stop`` to raise on all.
        lr_rule: how the learning rate follows the number of ranks then; None leaves it.
        checkpoint: what writes the run's checkpoints; None where no path was given.
        resumes: whether the same training goes on from there when it begins again.

    Attributes:
        is_open: whether a training is under way that could begin again.
        growth: engines that get ready to join; None while there are none.
        owner: who decides when it leaves its engines; empty where it is on its own.
        run: id of the run; before it begins, of one that this engine, a new one, joins, or empty.
        steps_per_report: steps between two reports; 0: as time passes.
    """

    heeds_interrupts = True
    _steersman: Steersman

    def __init__(
        self,
        name: str,
        *,
        parameters: Mapping[str, Any],
        knobs: Iterable[_knobs.Knob] = (),
        on_rank_loss: OnRankLoss = "shrink",
        lr_rule: Rule | None = "linear",
        checkpoint: Checkpoint | None = None,
        resumes: bool = True,
    ) -> None:
        super().__init__()
        self.name = name
        self.parameters = dict(parameters)
        self.more_knobs = tuple(knobs)
        self.checkpoint = checkpoint
        self.resumes = resumes
        self.on_rank_loss = on_rank_loss
        self.lr_rule = lr_rule
        self.is_open = False
        self.growth: _growth.Growth | None = None
        self.owner = ""
        self.run = ""
        self.steps_per_report = 0
        self._changes: list[str] = []
        self._changed_at = 0
        self._signals = Signals()

    def hear(self, commands: Iterable[Sent]) -> None:
        """Take commands from this process, between steps; those of rank 0 count for all."""
        for sent in commands if self._group.rank == 0 else ():
            self._told.tell(events.CommandSent(sent.id, sent.who, sent.command))
            self._told.hear((sent,))

    # -- Keras calls -----------------------------------------------------------------------------

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Open the run.

        Raises:
            TelemetryError: the recorder cannot be reached or refuses. On every rank.
        """
        self._group: Group = current()
        self._context = context_of(self.model)
        self._word = _control.word()
        self._word.forget()
        self._clock = _phases.clock()
        self._clock.restart()
        self._reports = Reports(self._group)
        self._carries_word = bool(distributed_optimizers(self.model))
        self._metrics: Mapping[str, float] = {}
        self._signals = self._context.signals
        self._reported_s = time.monotonic()
        self._reported_step = self._context.position.step
        if not self.is_open:
            self._open()
        if self._context.restarts:
            self._go_on()
        elif self.on_rank_loss == "restart" and not self._has_checkpoint():
            self._keep()  # something to go back to

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Start the epoch's clock."""
        self._epoch_begin_s = time.monotonic()

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Load the flags that the step is to carry."""
        if self._group.rank == 0:
            if self._score is not None:
                for step in self._coming_steps():
                    self._told.hear(self._score.within.get(step, ()))
            if self._told.look_for_commands() or (self.growth and self.growth.look()):
                self._word.raise_flag(Flag.COMMAND)
            if self._is_report_due():
                self._word.raise_flag(Flag.REPORT)
        if self._signals.count:
            self._word.raise_flag(Flag.INTERRUPT)
        self._word.load()
        self._step_before = self._context.position.step
        self._clock.begin()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Act on the flags that the step has carried.

        Raises:
            AgreedInterrupt: a rank was interrupted. On every rank.
        """
        self._clock.end(self._context.position.step - self._step_before)
        self._answer_growth()  # whoever has joined has done a step
        self._metrics = logs or {}
        flags = self._word.take() if self._carries_word else self._own_flags()
        if flags & Flag.REPORT:
            self._begin_report()
        if flags & (Flag.COMMAND | Flag.INTERRUPT):
            self._meet()
        self._tell_report(self._reports.poll())
        self._clock.callbacks_done()

    def on_test_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Cut a validation short that nobody waits for any more; no collective lies within."""
        if self._signals.count:
            self.model.stop_evaluating = True

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Tell the epoch's metrics, which are the same on all ranks by now."""
        self._tell_report(self._reports.finish())
        self._told.tell(
            events.EpochEnded(
                epoch=epoch + 1,
                step=self._context.position.step,
                metrics={name: float(value) for name, value in (logs or {}).items()},
                duration_s=time.monotonic() - self._epoch_begin_s,
            )
        )
        if self._score is not None:
            self._told.hear(self._score.between.get(self._context.position.step, ()))
        self._meet(at_epoch_end=True)
        if self.checkpoint is not None:
            self.checkpoint.write_epoch()
        if self._steersman.stops_now or self._steersman.stops_after_epoch:
            self.model.stop_training = True

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Nothing is reported twice by the next training."""
        self._tell_report(self._reports.finish())

    def _open(self) -> None:
        self._steersman = self._new_steersman()
        self._ordinal = _BEGUN[self.name]
        _BEGUN[self.name] += 1
        self._score = replay.requested(self.name, self._ordinal)
        if self.run:
            self._told = _told.Told(self.run, None)
        else:
            self._told = _told.open(self._group, self.name, self._started)
            self.run = self._told.run
        self._context.exits.push(self._leave)
        self._context.exits.enter_context(_printed.told(self._told.tell))
        self.is_open = True

    def _go_on(self) -> None:
        """Begin again, in another group."""
        self.growth = _growth.agreed_on(self._group, self.growth)
        self._tell_group()
        self._steersman.agree(self._group)
        if self._context.has_gone_back:
            self._steersman.turn_again()
        if self._steersman.is_paused:
            self._answer_growth()
            self._meet()

    def _has_checkpoint(self) -> bool:
        """Whether there is one already; a run that writes none (a replay) needs none."""
        return self.checkpoint is None or self._group.broadcast(self.checkpoint.path.exists())

    # -- what ranks agree on -----------------------------------------------------------------------

    def _own_flags(self) -> Flag:
        """Flags without a reduction to carry them: one rank is all ranks; several meet only at the
        end of an epoch.
        """
        if self._group.size > 1:
            return _control.NOTHING
        wanted = self._word.wanted
        self._word.settle(wanted)
        return wanted

    def _meet(self, *, at_epoch_end: bool = False) -> None:
        """Hear rank 0's commands and everybody's interrupts, and act on them; all ranks call it."""
        self._hear(at_epoch_end)
        while self._steersman.is_paused:
            self._told.wait_for_commands(_LOOK_AROUND_S)
            self._hear(at_epoch_end)
            self._clock.restart()

    def _hear(self, at_epoch_end: bool) -> None:
        mine = self._told.take_commands()
        interrupted = bool(self._signals.count)
        heard = self._group.allgather((mine, interrupted, self._decided_growth()))
        self._word.settle(Flag.COMMAND)
        commands, _, problems = heard[0]
        for sent in commands:
            self._carry_out(sent, at_epoch_end)
        if any(interrupted for _, interrupted, _ in heard):
            self._signals.await_first()
            self._keep()
            raise AgreedInterrupt(
                f"The training stopped on all {self._group.size} ranks after step"
                f" {self._context.position.step}. Weights, optimizer and variables are as that"
                " step left them; call fit again to go on."
            )
        if self.growth is not None and problems is not None:
            self._take_in(self.growth, problems)

    def _decided_growth(self) -> dict[int, str] | None:
        """What has come of the new engines, once that is known, on rank 0; the others hear it."""
        if self._group.rank == 0 and self.growth is not None and self.growth.look():
            return self.growth.problems
        return None

    def _take_in(self, growth: _growth.Growth, problems: dict[int, str]) -> None:
        """Begin again with the engines that are ready, between two steps of an epoch.

        Raises:
            AgreedGrowth: on every rank.
        """
        if self._steersman.stops_now or self._context.is_whole(self.params.get("steps")):
            return
        growth.agree(problems)
        if growth.ready:
            raise _growth.AgreedGrowth(growth.ready)
        self._answer_growth()

    def _grow(self, command: str) -> None:
        """Start the engines that are missing; the training goes on until they are ready."""
        if self.growth is not None and self.growth.command == command:
            return  # a new rank 0 hears again what the old one has not answered
        try:
            if self.growth is not None:
                raise CannotGrowError(
                    f"Engines {list(self.growth.joiners)} are getting ready already."
                )
            self.growth = _growth.begin(self._group, _program.fit_number(), command)
        except CannotGrowError as error:
            self._told.tell(events.CommandRefused(id=command, reason=str(error)))
            return
        joiners = ", ".join(map(str, self.growth.joiners))
        text = f"Engines {joiners} start and run the cells; the training goes on meanwhile."
        self._told.tell(events.LogLine("engine", text))
        self._clock.restart()

    def replace(self) -> None:
        """Start engines in the places of those that are lost, and wait until they are ready.

        Afterwards ``growth`` has them; it is None where there can be none.

        Raises:
            PeerFailedError: a rank died meanwhile.
        """
        group = current()
        self.growth = _growth.agreed_on(group, self.growth)
        self._answer_growth()
        try:
            self.growth = self.growth or _growth.begin(group, _program.fit_number())
        except CannotGrowError as error:
            self._changes.append(f"not replaced: {error}")
            return
        _growth.await_decision(group, self.growth, _REPLACEMENTS_S)

    def complain(self, engine: int, error: str) -> None:
        """Note that an engine that was let in has failed at once; the others go on without it."""
        self._changes.append(f"engine {engine} failed: {error}")
        if self.growth is not None:
            self.growth.problems[engine] = f"it failed at once, with {error}"

    def _answer_growth(self) -> None:
        """Say what came of new engines, those that did not come and why included."""
        growth = self.growth
        if growth is None or not growth.is_agreed:
            return
        self.growth = None
        joined = [one for one in growth.ready if one in current().engines]
        trouble = growth.trouble or "A rank died while they joined. Try again: run.grow()."
        if growth.command is not None and joined:
            self._told.tell(events.CommandApplied(growth.command, self._changed_at))
        elif growth.command is not None:
            self._told.tell(events.CommandRefused(growth.command, trouble))
        if len(joined) < len(growth.joiners):
            if current().rank == 0:
                growth.dismiss(trouble, joined)
            self._told.tell(events.LogLine("engine", f"Engines did not join: {trouble}"))

    def _carry_out(self, sent: Sent, at_epoch_end: bool) -> None:
        if isinstance(sent.command, Grow):
            self._grow(sent.id)
            return
        if isinstance(sent.command, Vacate) and self.owner:
            reason = f"{self.owner} takes it off its engines."
            self._told.tell(events.CommandRefused(id=sent.id, reason=reason))
            return
        was_paused, position = self._steersman.is_paused, self._context.position
        for event in self._steersman.carry_out(sent, position, at_epoch_end=at_epoch_end):
            self._told.tell(event)
        if self._steersman.stops_now and not self.model.stop_training:
            self.model.stop_training = True
            self._keep()
        if self._steersman.is_paused != was_paused:
            self.tell_state("paused" if self._steersman.is_paused else "running", f"by {sent.who}")

    def _keep(self) -> None:
        """Nothing of what was trained is lost where a checkpoint was asked for."""
        if self.checkpoint is not None:
            path = self.checkpoint.write()
            at = self._context.position
            written = events.CheckpointWritten(step=at.step, epoch=at.epoch, path=str(path))
            self._told.tell(written)

    def begin_again(self, reason: str) -> None:
        """The group changes, and this training is about to begin again."""
        self._reports.abandon()
        self.tell_state("regrouping", reason)

    def tell_losses(self, lost: Iterable[Lost]) -> None:
        """Name the dead; rank 0 may be another engine than before."""
        self._told.move_to(current())
        for one in lost:
            self._told.tell(events.RankLost(**vars(one)))
            self._changes.append(f"lost rank {one.rank} (engine {one.engine})")

    def tell_state(self, state: events.RunState, reason: str) -> None:
        """Say what the training is about, other than training."""
        self._told.tell(events.StateChanged(state=state, reason=reason))

    # -- what is told -----------------------------------------------------------------------------

    def _is_report_due(self) -> bool:
        if self._reports.is_pending or self._word.wanted & Flag.REPORT:
            return False
        if self._score is not None:
            return not self._score.reports.isdisjoint(self._coming_steps())
        if self.steps_per_report:
            return self._coming_steps()[-1] - self._reported_step >= self.steps_per_report
        return time.monotonic() - self._reported_s >= _REPORT_EVERY_S

    def _coming_steps(self) -> range:
        return self._context.coming_steps(self.model, self.params.get("steps"))

    def _begin_report(self) -> None:
        self._tell_report(self._reports.finish())
        self._reports.begin(
            self._context.position,
            _rate.get_rate(self.model.optimizer),
            self._metrics,
            self._clock.take(),
        )
        self._reported_s = time.monotonic()
        self._reported_step = self._context.position.step

    def _tell_report(self, report: Any) -> None:
        if report is not None:
            self._told.tell_report(report, _told.samples_per_step(self.model, self._group))

    def _new_steersman(self) -> Steersman:
        steps_per_report = _knobs.Knob(
            "steps_per_report",
            get=lambda: self.steps_per_report,
            set=lambda value: setattr(self, "steps_per_report", int(value)),
            low=0,
            integer=True,
        )
        return Steersman(
            self.model,
            _knobs.knobs_of(self.model, (steps_per_report, *self.more_knobs)),
            checkpoint=None if self.checkpoint is None else self.checkpoint.write,
        )

    def _tell_group(self) -> None:
        """The run goes on, in another group."""
        ready = self.growth.ready if self.growth is not None else ()
        joined = [f"engine {one} joined" for one in ready if one in self._group.engines]
        self._told.tell(
            events.GroupChanged(
                engines=self._group.engines,
                hosts=self._group.hosts,
                step=self._context.position.step,
                reason=", ".join(self._changes + joined),
            )
        )
        self._changes.clear()
        self._changed_at = self._context.position.step
        self._told.tell(events.StateChanged(state="running"))

    def _started(self) -> events.Started:
        return _told.started(
            self.name,
            self.model,
            self._group,
            position=self._context.position,
            fit_parameters=self.params,
            parameters=self.parameters,
            knobs=self._steersman.knobs,
            ordinal=self._ordinal,
            resumes_from=self._resumes_from(),
        )

    def _resumes_from(self) -> str:
        """The file that these cells go on from when they are run again."""
        if self.checkpoint is None or not self.resumes or self.owner:
            return ""
        return str(self.checkpoint.path.absolute())

    def _leave(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """However ``fit`` ends: say how."""
        self.is_open = False
        if self.growth is not None:
            self._dismiss(self.growth)
        self.run = ""
        self._word.forget()
        self._reports.abandon()
        outcome, reason = _outcome(error, self._steersman.stopped_by)
        self._told.close(
            events.Ended(
                outcome=outcome,
                reason=reason,
                step=self._context.position.step,
                epoch=self._context.position.epoch,
            )
        )

    def _dismiss(self, growth: _growth.Growth) -> None:
        """The training is over before new engines were ready."""
        reason = "The training ended before the new engines were ready."
        if self._group.rank == 0:
            growth.dismiss(reason)
        if growth.command is not None:
            self._told.tell(events.CommandRefused(growth.command, reason))
        self.growth = None


def _outcome(error: BaseException | None, stopped_by: str) -> tuple[Any, str]:
    if error is None:
        return ("stopped", stopped_by) if stopped_by else ("finished", "")
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", str(error)
    return "failed", f"{type(error).__name__}: {error}"
