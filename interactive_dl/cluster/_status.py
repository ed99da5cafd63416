"""What the files and processes of a cluster tell about it."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass

from interactive_dl.cluster import _elsewhere, _processes
from interactive_dl.cluster._allocation import SURVIVED
from interactive_dl.cluster._description import Description
from interactive_dl.cluster._places import Places
from interactive_dl.cluster._values import Death, Engine, State, StateName, Summary
from interactive_dl.cluster.controller._parts import Parts
from interactive_dl.cluster.slurm.jobs import ended_state, waiting_state
from interactive_dl.cluster.slurm.launchers import DEFAULT, launcher
from interactive_dl.cluster.slurm.watching import look_once
from interactive_dl.cluster.slurm.worlds import World
from interactive_dl.errors import ClusterError
from interactive_dl.telemetry import exits

_REGISTRATION_S = 60.0


@dataclass(frozen=True)
class Registered:
    """Engine ids that a client knows of.

    Attributes:
        now: those that are registered.
        ever: those that have been since the client came.
    """

    now: Collection[int]
    ever: Collection[int]


def engines(places: Places, registered: Registered) -> tuple[Engine, ...]:
    """The engines of the current world by rank."""
    births, gone = exits.births(places.folder), _gone(places, registered)
    return tuple(
        Engine(
            id=engine,
            rank=rank,
            host=births[engine].host,
            pid=births[engine].pid,
            state="dead" if engine in gone else "ready" if engine in registered.now else "starting",
            log=exits.log_file(places.folder, engine),
        )
        for rank, engine in enumerate(exits.world(places.folder))
        if engine in births
    )


def size(places: Places) -> int:
    """How many engines a started cluster is to have: fewer where its job has lost nodes."""
    world = _world(places)
    return Description.read(places.description).options.engines if world is None else len(world.ids)


def starts_again_whole(places: Places) -> bool:
    """Whether engines are never replaced one by one, because all end with one."""
    options = Description.read(places.description).options
    world = _world(places)
    if world is None or options.collectives == "gloo":
        return False
    # Only Slurm has others than the default one.
    name = options.request.get("launcher", DEFAULT)
    return not launcher(name).survives(len(world.hosts))


def _world(places: Places) -> World | None:
    """What a steward says, where there is one."""
    return World.read(places.folder, Description.read(places.description).job)


def deaths(places: Places, registered: Registered) -> tuple[Death, ...]:
    """All engines that were born and are gone, in the order of their end, but for those that were
    given back.
    """
    ended = exits.exits(places.folder)
    given_back = {engine for engine in ended if ended[engine].lost == exits.GIVEN_BACK}
    found = (death(places, engine) for engine in _gone(places, registered) - given_back)
    return tuple(sorted(found, key=lambda one: (one.ended_at_s or 0.0, one.engine)))


def _gone(places: Places, registered: Registered) -> set[int]:
    """Engines that have ended, or are not registered any more, or not yet after a long time.

    One that was cut off has ended, but may be registered still.
    """
    latest_s = time.time() - _REGISTRATION_S
    ended, born = set(exits.exits(places.folder)), exits.births(places.folder)
    late = {one for one, birth in born.items() if birth.born_at_s < latest_s}
    unregistered = (late | set(registered.ever)) - set(registered.now)
    return (ended | unregistered) & set(born)


def state(places: Places, registered: Registered, after_death: str = SURVIVED) -> State:
    """What a cluster can do that this process is connected to.

    Args:
        places: of the cluster.
        registered: engines that this process knows of.
        after_death: what becomes of the others when one dies, and what to type.
    """
    dead = [engine.id for engine in engines(places, registered) if engine.state == "dead"]
    reasons = " ".join(one.headline for one in deaths(places, registered) if one.engine in dead)
    if ended := what_ended(places):
        return State("degraded", f"{ended} {reasons}".rstrip() + " Type: cluster.restart()")
    if restarting := what_restarts(places):
        return State("degraded", f"{restarting} {reasons}".rstrip())
    if not dead:
        return State("ready")
    if not registered.now and after_death == SURVIVED:
        return State("failed", f"{reasons} Type: cluster.restart()")
    return State("degraded", f"{reasons} {after_death}")


def unreached_state(places: Places) -> State:
    """What a cluster can do that this process is not connected to."""
    if _elsewhere.is_elsewhere(places):
        is_gone = _elsewhere.presence(places) == "gone"
        why = _elsewhere.why_unreached(places)
        return (
            State("failed", f"{why} Type: cluster.restart()") if is_gone else State("unknown", why)
        )
    if not _processes.marked(places.folder):
        return State("stopped")
    return State("failed", f"{what_ended(places) or 'Not attached.'} Type: cluster.restart()")


def summary(places: Places, is_alive: bool) -> Summary | None:
    """One line of ``Cluster.list()``; None for a cluster that has ended meanwhile.

    Args:
        places: of the cluster.
        is_alive: whether it has any process on this host.
    """
    try:
        written_at_s = places.description.stat().st_mtime
        described = Description.read(places.description)
        return _summary(places, described, is_alive)
    except FileNotFoundError:
        return None
    except ClusterError:
        return Summary(places.cluster_id, "unknown", 0, "another version", written_at_s)


def _summary(places: Places, described: Description, is_alive: bool) -> Summary:
    state: StateName = "degraded" if is_alive else "failed"
    if _elsewhere.is_elsewhere(places):
        seen = _elsewhere.presence(places)
        is_alive = seen == "answers"
        state = "degraded" if is_alive else "failed" if seen == "gone" else "unknown"
    works = is_alive and not (what_ended(places) or what_restarts(places))
    return Summary(
        id=places.cluster_id,
        state=_beginning(places, described) if works else state,
        engines=len(exits.world(places.folder)) or described.options.engines,
        host=described.host,
        started_at_s=described.started_at_s,
    )


def _beginning(places: Places, described: Description) -> StateName:
    """How far a cluster has come whose processes all live."""
    if described.options.where == "slurm" and not exits.births(places.folder):
        job = look_once(described.job) if described.job else None
        if job is None:
            return "submitting"
        return "starting" if job.is_granted else waiting_state(job).name
    return "ready"


def what_ended(places: Places) -> str:
    """Which process besides the engines is gone, and what that means; empty if none is."""
    described = Description.read(places.description)
    is_here = not _elsewhere.is_elsewhere(places)
    if not has_controller(places):
        if not is_here:
            return _elsewhere.why_unreached(places)
        parts = Parts.read(places.folder)
        given_up = parts.given_up if parts else ""
        why = f" ({given_up}; controller.log says more)" if given_up else ""
        return (
            f"The controller (pid {described.controller_pid}) has ended{why}: engines that die go"
            " unnoticed, and no other notebook can attach."
        )
    if described.job:
        job = look_once(described.job)
        if job is not None and job.is_over:
            return ended_state(job).reason
    elif is_here and _has_ended(described.mpiexec_pid, places):
        return (
            f"mpiexec (pid {described.mpiexec_pid}) has ended: MPI no longer notices deaths, and"
            " dead engines cannot be replaced."
        )
    if not _has_recorder(places, described, is_here):
        return (
            f"The recorder (pid {described.recorder_pid}) has ended: runs are neither recorded nor"
            " steered. Its log says why."
        )
    return ""


def _has_ended(mpiexec: int, places: Places) -> bool:
    return bool(mpiexec) and not _processes.is_alive(mpiexec, places.folder)


def _has_recorder(places: Places, described: Description, is_here: bool) -> bool:
    if is_here:
        return _processes.is_alive(described.recorder_pid, places.folder)
    return _elsewhere.recorder(places) == "answers"


def has_controller(places: Places) -> bool:
    """Whether there is a controller, or one that is being restarted."""
    if _elsewhere.is_elsewhere(places):
        return _elsewhere.controller(places) == "answers"
    parts = Parts.read(places.folder)
    # The supervisor starts the hub again, and the hub the supervisor.
    pids = (Description.read(places.description).controller_pid, parts.hub if parts else 0)
    return any(_processes.is_alive(pid, places.folder) for pid in pids)


def what_restarts(places: Places) -> str:
    """Which process is coming back by itself, and what that means; empty if none is."""
    parts = Parts.read(places.folder)
    if parts is None or _elsewhere.is_elsewhere(places):
        return ""
    if _processes.is_alive(parts.hub, places.folder):
        return ""
    return (
        "The controller was killed and is being restarted: the engines go on meanwhile, and who"
        " attaches waits a moment."
    )


def death(places: Places, engine: int) -> Death:
    """What is known of an engine that is gone."""
    folder = places.folder
    world = exits.world(folder)
    birth = exits.births(folder)[engine]
    ended = exits.exits(folder).get(engine)
    return Death(
        engine=engine,
        rank=world.index(engine) if engine in world else birth.rank,
        host=birth.host,
        pid=birth.pid,
        exit_code=ended.exit_code if ended else None,
        signal_number=ended.signal_number if ended else None,
        ended_at_s=ended.ended_at_s if ended else None,
        reason=_reason(ended),
        log_lines=exits.last_lines(exits.log_file(folder, engine)),
    )


def _reason(ended: exits.Exit | None) -> str:
    if ended is None:
        return "it no longer answers, and its end was not seen"
    if ended.signal_number == 9 and not ended.stalled:
        held_gb = ended.max_rss_bytes / 1e9
        return (
            f"{ended.reason} (somebody's kill -9, or the machine ran out of memory: it held up to"
            f" {held_gb:.1f} GB)"
        )
    return ended.reason
