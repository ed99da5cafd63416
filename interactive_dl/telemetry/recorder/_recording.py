"""What a recorder does: messages in, messages out, and journals on disk. No sockets, no clock."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from interactive_dl.errors import JournalError
from interactive_dl.telemetry import events, journal, listing, wire
from interactive_dl.telemetry.beside import Started
from interactive_dl.telemetry.exits import Exit
from interactive_dl.telemetry.journal import package_version
from interactive_dl.telemetry.recorder._attendance import Attendance
from interactive_dl.telemetry.recorder._desk import Desk
from interactive_dl.telemetry.recorder._ledger import Ledger, Speaker, UnreadableError
from interactive_dl.telemetry.steering import Sent, Vacate

Peer = bytes
Outgoing = tuple[Peer, wire.Message]

SILENCE_S = 10.0
"""A run whose engine has not been heard for so long is lost,"""
GRACE_S = 4.0
"""or for so long where the engine is known to be dead: the others may go on without it;"""
GRACE_WITHOUT_MPI_S = 20.0
"""and for so long where MPI tells none of the others of a death."""
_LOOK_AFTER_S = 1.0
_OURS = "interactive_dl."
_LOG = logging.getLogger(__name__)


class Recording:
    """The state of a recorder.

    Args:
        runs: folder of the journals.
        cluster: folder of the cluster, which journals name as their writer's.
        exits: engines of the cluster that have ended, by id.
        record_exit: notes that an engine is expelled, for ``exits`` to tell.
        begin: starts a program beside the recorder, from its words and the name of its log.
        now_s: by the clock that later times are of, too; it never goes back.
        wall_s: seconds since the epoch, for the recorder's own records.
    """

    def __init__(
        self,
        runs: Path,
        cluster: str,
        exits: Callable[[], Mapping[int, Exit]],
        record_exit: Callable[[Exit], None],
        begin: Callable[[Sequence[str], str], Started],
        now_s: float,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        self._runs = runs
        self._cluster = cluster
        self._exits = exits
        self._begin = begin
        self._begun: dict[str, Started] = {}
        self._wall_s = wall_s
        self._ledgers: dict[str, Ledger] = {}
        self._callers: dict[Peer, tuple[Ledger, Speaker]] = {}
        self._desk = Desk(runs, self._size_of)
        self._attendance = Attendance(exits, record_exit, wall_s)
        self._look_after_s = now_s
        self._vacated: dict[int, list[str]] = {}
        self._planned: dict[str, tuple[float, wire.Vacate]] = {}
        self._adopt(now_s)

    def handle(self, peer: Peer, message: wire.ToRecorder, now_s: float) -> list[Outgoing]:
        """Do what a message asks for; the answers to send, the sender's and others'."""
        match message:
            case wire.Publish():
                return self._publish(peer, message, now_s)
            case wire.Beat():
                return self._beat(peer, now_s)
            case wire.Read():
                return self._desk.read(peer, message, now_s)
            case wire.Hello():
                return self._greet(peer, message, now_s)
            case wire.Attend():
                return [(peer, self._attendance.attend(message))]
            case wire.CallRoll(request=request):
                return [(peer, self._attendance.roll(request))]
            case wire.Send():
                return self._pass_on(peer, message)
            case wire.Vacate():
                return [(peer, wire.Passed(message.request)), *self._take_away(message, now_s)]
            case wire.Begin():
                return [(peer, self._start(message))]
            case wire.ListRuns(request=request):
                return [(peer, wire.RunList(request, listing.summaries(self._runs)))]
            case wire.Bye():
                return self._take_leave(peer, now_s)

    def tick(self, now_s: float) -> list[Outgoing]:
        """Do what time asks for; to be called some ten times a second."""
        self._attendance.tick(now_s)
        answers = self._desk.tick(now_s)
        if now_s >= self._look_after_s:
            self._look_after_s = now_s + _LOOK_AFTER_S
            answers += self._look_after(now_s)
        return answers

    def close(self) -> None:
        """Let go of all journals."""
        for ledger in self._ledgers.values():
            ledger.close()

    # -- engines ----------------------------------------------------------------------------------

    def _greet(self, peer: Peer, hello: wire.Hello, now_s: float) -> list[Outgoing]:
        if hello.protocol != wire.PROTOCOL:
            reason = (
                f"Caller and recorder must speak one protocol, but the caller's interactive-dl"
                f" {hello.version} speaks {hello.protocol} and the recorder's {package_version()}"
                f" speaks {wire.PROTOCOL}. Install one version everywhere, then: cluster.restart()"
            )
            return [(peer, wire.Refusal(reason))]
        if not hello.run:
            return [(peer, wire.HelloAck(0))]
        try:
            ledger = self._ledger(hello.run, now_s)
        except JournalError as error:
            _LOG.warning("%s", error)
            return [(peer, wire.Refusal(str(error)))]
        if before := ledger.speakers.get(hello.engine):
            self._callers.pop(before.peer, None)
        speaker = ledger.admit(peer, hello.engine, now_s)
        self._callers[peer] = (ledger, speaker)
        welcome = wire.HelloAck(ledger.expect(hello.engine, hello.first_seq))
        relays = [(peer, wire.Relay(sent)) for sent in ledger.unanswered.values()]
        return [(peer, welcome), *relays, *self._hear(ledger, speaker, now_s)]

    def _publish(self, peer: Peer, message: wire.Publish, now_s: float) -> list[Outgoing]:
        if peer not in self._callers:
            return [(peer, wire.WhoAreYou())]
        ledger, speaker = self._callers[peer]
        expected = ledger.expect(speaker.engine)
        if message.first_seq > expected:  # something before it was lost on the way
            return [(peer, wire.WhoAreYou())]
        back = self._hear(ledger, speaker, now_s)
        try:
            written = ledger.record(speaker.engine, message.lines[expected - message.first_seq :])
            if ledger.outcome is not None:
                back += self._refuse_unanswered(ledger)
        except UnreadableError as error:
            _LOG.error("Run %s, engine %d: %s", ledger.run, speaker.engine, error)
            return [*back, (peer, wire.Refusal(str(error)))]
        except JournalError as error:
            # Not acknowledged: the engine keeps it, and tries again in a while.
            ledger.complain(str(error))
            return back
        ack = wire.Ack(ledger.expect(speaker.engine))
        news = self._desk.journal_grew(ledger.run, written) if written is not None else []
        return [*back, (peer, ack), *news]

    def _beat(self, peer: Peer, now_s: float) -> list[Outgoing]:
        if peer not in self._callers:
            return [(peer, wire.WhoAreYou())]
        ledger, speaker = self._callers[peer]
        ack = wire.Ack(ledger.expect(speaker.engine))
        return [(peer, ack), *self._hear(ledger, speaker, now_s)]

    def _take_leave(self, peer: Peer, now_s: float) -> list[Outgoing]:
        if peer in self._callers:
            ledger, speaker = self._callers.pop(peer)
            ledger.dismiss(speaker, f"engine {speaker.engine} left without a last word", now_s)
            self._put_away(ledger)
        return []

    def _hear(self, ledger: Ledger, speaker: Speaker, now_s: float) -> list[Outgoing]:
        """An engine lives; a run that was given up is not lost after all."""
        speaker.heard_s = now_s
        if ledger.outcome != "lost":
            return []
        reason = f"engine {speaker.engine} is heard again"
        return self._tell(ledger, events.StateChanged("running", reason))

    # -- programs ---------------------------------------------------------------------------------

    def _start(self, message: wire.Begin) -> wire.Message:
        known = self._begun.get(message.id)
        if known is None:
            module = message.words[1] if message.words[:1] == ("-m",) else ""
            if not module.startswith(_OURS):
                reason = (
                    f"Programs of {_OURS}* are started here, but got {' '.join(message.words)}."
                )
                return wire.Refusal(reason, message.request)
            try:
                known = self._begun[message.id] = self._begin(message.words, message.log)
            except OSError as error:
                return wire.Refusal(f"{' '.join(message.words)}: {error}", message.request)
        return wire.Begun(message.request, known)

    # -- commands ---------------------------------------------------------------------------------

    def _pass_on(self, peer: Peer, message: wire.Send) -> list[Outgoing]:
        ledger = self._ledgers.get(message.run)
        sent = message.sent
        passed = (peer, wire.Passed(message.request))
        if ledger is not None and sent.id in ledger.command_ids:
            return [passed]  # asked again, because our answer was lost
        if ledger is None or ledger.outcome is not None or not ledger.speakers:
            return [(peer, wire.Refusal(self._why_not(message.run), message.request))]
        record = events.CommandSent(sent.id, sent.who, sent.command)
        try:
            written = ledger.tell(record, self._wall_s())
        except JournalError as error:
            return [(peer, wire.Refusal(str(error), message.request))]
        relays = [(one.peer, wire.Relay(sent)) for one in ledger.speakers.values()]
        return [passed, *relays, *self._desk.journal_grew(message.run, written)]

    def _take_away(self, message: wire.Vacate, now_s: float) -> list[Outgoing]:
        """Have engines vacated now, later, or not at all."""
        if message.in_s == 0.0:
            self._planned.pop(message.who, None)
            return self._vacate(message)
        for engine in message.engines:
            self._vacated[engine] = [
                who for who in self._vacated.get(engine, ()) if who != message.who
            ]
        self._planned[message.who] = (now_s + message.in_s, message)
        return []

    def _carry_out(self, dead: Mapping[int, Exit], now_s: float) -> list[Outgoing]:
        """Have engines vacated whose time has come, unless they are dead or that was done."""
        due = [message for at_s, message in self._planned.values() if at_s <= now_s]
        answers: list[Outgoing] = []
        for message in due:
            del self._planned[message.who]
            kept = [
                one for one in message.engines if one not in dead and not self._vacated.get(one)
            ]
            if kept:
                _LOG.warning("%s: what runs on its engines is asked to leave.", message.who)
                answers += self._vacate(message)
        return answers

    def _vacate(self, message: wire.Vacate) -> list[Outgoing]:
        """Programs that tell no group, such as a search, have it as well: its trials run there."""
        for engine in message.engines:
            takers = self._vacated.setdefault(engine, [])
            if message.who not in takers:
                takers.append(message.who)
        programs = [one for one in self._ledgers.values() if not one.engines]
        answers = [out for one in programs for out in self._send_off(one, message.who)]
        return [*answers, *self._send_off_runs()]

    def _send_off_runs(self) -> list[Outgoing]:
        """Tell runs whose engines are taken away, those that have just begun as well."""
        answers: list[Outgoing] = []
        for ledger in self._ledgers.values():
            takers = [who for one in ledger.engines for who in self._vacated.get(one, ())]
            if takers:
                answers += self._send_off(ledger, takers[0])
        return answers

    def _send_off(self, ledger: Ledger, who: str) -> list[Outgoing]:
        sent = Sent(f"vacate, {who}", who, Vacate())
        if ledger.outcome is not None or not ledger.speakers or sent.id in ledger.command_ids:
            return []
        answers = self._tell(ledger, events.CommandSent(sent.id, sent.who, sent.command))
        if sent.id not in ledger.command_ids:
            return answers  # it could not be noted; tried again
        return [*answers, *((one.peer, wire.Relay(sent)) for one in ledger.speakers.values())]

    def _why_not(self, run: str) -> str:
        """Why a command for a run cannot be passed on."""
        try:
            outcome = journal.outcome(journal.path_of(self._runs, run))
        except JournalError:
            known = ", ".join([*journal.journals(self._runs)][-5:]) or "none"
            return f"There is no run {run!r}; the latest are: {known}."
        if outcome is not None:
            return f"The run {run} has ended: {outcome}."
        return (
            f"No engine of the run {run} speaks with this recorder now. Is it of another cluster,"
            " or a script of its own? See run.state."
        )

    def _refuse_unanswered(self, ledger: Ledger) -> list[Outgoing]:
        """Nobody waits for the answer of a run that has ended."""
        answers: list[Outgoing] = []
        for id_ in list(ledger.unanswered):
            answers += self._tell(ledger, events.CommandRefused(id_, "The run has ended."))
        return answers

    # -- runs that fall silent --------------------------------------------------------------------

    def _look_after(self, now_s: float) -> list[Outgoing]:
        dead = self._exits()
        answers: list[Outgoing] = []
        for ledger in list(self._ledgers.values()):
            for speaker in list(ledger.speakers.values()):
                self._check_on(ledger, speaker, dead.get(speaker.engine), now_s)
            if (
                not ledger.speakers
                and ledger.outcome is None
                and self._is_lost(ledger, dead, now_s)
            ):
                answers += self._tell(ledger, events.Ended("lost", ledger.last_word))
                answers += self._refuse_unanswered(ledger)
            self._put_away(ledger)
        answers += self._carry_out(dead, now_s)
        return answers + self._send_off_runs()

    def _check_on(self, ledger: Ledger, speaker: Speaker, end: Exit | None, now_s: float) -> None:
        silent_s = now_s - speaker.heard_s
        if end is not None and silent_s > _LOOK_AFTER_S:
            reason = f"engine {speaker.engine} on {end.host}: {end.reason}"
        elif silent_s > SILENCE_S:
            reason = f"engine {speaker.engine} has not been heard for {SILENCE_S:g} s"
        else:
            return
        self._callers.pop(speaker.peer, None)
        ledger.dismiss(speaker, reason, speaker.heard_s)

    def _is_lost(self, ledger: Ledger, dead: Mapping[int, Exit], now_s: float) -> bool:
        """Whether nobody can be expected any more to go on with the run."""
        if ledger.engines and all(engine in dead for engine in ledger.engines):
            return True
        patience_s = GRACE_S if any(engine in dead for engine in ledger.engines) else SILENCE_S
        if self._attendance.is_kept:
            patience_s = GRACE_WITHOUT_MPI_S
        return now_s - ledger.heard_s > patience_s

    # -- journals ---------------------------------------------------------------------------------

    def _adopt(self, now_s: float) -> None:
        """Go on with the runs that an earlier process of this recorder left in the middle."""
        for run, path in journal.files(self._runs).items():
            try:
                ours = journal.header(path).cluster == self._cluster
                if ours and journal.outcome(path) is None:
                    self._ledger(run, now_s)
            except JournalError as error:
                _LOG.warning("%s", error)

    def _ledger(self, run: str, now_s: float) -> Ledger:
        """The run's ledger, opened if need be.

        Raises:
            JournalError: the journal cannot be written.
        """
        if run not in self._ledgers:
            path = journal.path_of(self._runs, run)
            self._ledgers[run] = Ledger.open(path, run, self._cluster, now_s)
        return self._ledgers[run]

    def _size_of(self, run: str) -> int | None:
        """Bytes of a journal that only this recorder writes, and goes on to write."""
        ledger = self._ledgers.get(run)
        return None if ledger is None or ledger.outcome is not None else ledger.size

    def _put_away(self, ledger: Ledger) -> None:
        """Close the journal of a run that has ended and that nobody speaks for."""
        if ledger.outcome is not None and not ledger.speakers:
            ledger.close()
            self._ledgers.pop(ledger.run, None)

    def _tell(self, ledger: Ledger, event: events.AnyEvent) -> list[Outgoing]:
        """Record an event of the recorder's own; answers to those who wait for it."""
        try:
            written = ledger.tell(event, self._wall_s())
        except JournalError as error:
            ledger.complain(str(error))
            return []
        return self._desk.journal_grew(ledger.run, written)
