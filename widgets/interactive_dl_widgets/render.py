"""HTML of what is said in words; colours are JupyterLab's, so that both themes fit."""

from __future__ import annotations

import time
from collections.abc import Sequence
from html import escape

from interactive_dl.telemetry.events import RankLost
from interactive_dl_widgets import plots
from interactive_dl_widgets.views.commands import Row, number
from interactive_dl_widgets.views.engines import EngineRow
from interactive_dl_widgets.views.maps import Slow
from interactive_dl_widgets.views.standing import Standing, duration
from interactive_dl_widgets.views.throughput import Throughput

_TONES = {
    "running": "good",
    "finished": "good",
    "paused": "wait",
    "starting": "wait",
    "regrouping": "wait",
    "stopping": "wait",
    "stopped": "calm",
    "interrupted": "calm",
    "failed": "bad",
    "lost": "bad",
}


def header(name: str, run_id: str, standing: Standing) -> str:
    """Who, in which state, how far, how long still."""
    facts = [_of("epoch", standing.epoch, standing.epochs)]
    facts.append(_of("step", standing.step, standing.steps))
    if standing.learning_rate is not None:
        facts.append(f"learning rate {number(standing.learning_rate)}")
    if standing.checkpoint is not None:
        facts.append(f"checkpoint at step {standing.checkpoint:,}")
    left = f"{duration(standing.left_s)} left" if standing.left_s is not None else ""
    percent = "" if standing.done is None else f"{100 * standing.done:.0f} %"
    bar = ""
    if standing.done is not None:
        width = f"{100 * standing.done:.1f}%"
        tone = _TONES.get(standing.state, "calm")
        bar = f'<div class="idl-bar"><div class="idl-{tone}" style="width:{width}"></div></div>'
    reason = f'<span class="idl-reason">{escape(standing.reason)}</span>' if standing.reason else ""
    return (
        f'<div class="idl-header"><b title="{escape(run_id)}">{escape(name)}</b>'
        f"{badge(standing.state, _TONES.get(standing.state, 'calm'))}{reason}"
        f'<span class="idl-facts">{" · ".join(facts)}</span>'
        f'<span class="idl-left">{" · ".join(filter(None, (percent, left)))}</span></div>{bar}'
    )


def badge(text: str, tone: str) -> str:
    """A state in a coloured pill; tones: ``good``, ``wait``, ``bad``, ``calm``."""
    return f'<span class="idl-badge idl-{tone}">{escape(text)}</span>'


def metric_keys() -> str:
    """Which curve is which."""
    keys = [("training", plots.TRAINING), ("validation", plots.VALIDATION)]
    return _title("", *keys, ("asked for", plots.EVALUATED))


def throughput_title(view: Throughput) -> str:
    """How fast it is, and how well it scales."""
    if view.samples_per_s is None:
        return _title("Throughput")
    text = f"<b>{view.samples_per_s:,.0f}</b> samples/s"
    if view.efficiency is not None:
        text += (
            f' · <b>{100 * view.efficiency:.0f} %</b> <span class="idl-faint">scaling efficiency'
            f" ({view.ranks} × {view.baseline_samples_per_s:,.0f})</span>"
        )
    elif view.ranks > 1:
        text += f' <span class="idl-faint">on {view.ranks} ranks</span>'
    return f'<div class="idl-title">{text}</div>'


def heat_map_title(slowest: Sequence[Slow] = ()) -> str:
    """What the colours are, and which of very many ranks keep the others waiting."""
    ends = f"linear-gradient(90deg, {plots.FAST}, transparent, {plots.SLOW})"
    named = ", ".join(
        f"<b>rank {one.rank}</b> {f'on {escape(one.host)} ' if one.host else ''}{one.relative:.2f}×"
        for one in slowest
    )
    return (
        '<div class="idl-title">Ranks <span class="idl-faint">own data and compute time beside the'
        f' median rank&#39;s</span><span class="idl-key">{plots.LEAST_RELATIVE:g}'
        f'<i class="idl-scale" style="background:{ends}"></i>{plots.MOST_RELATIVE:g}</span>'
        + (f"<div>slowest lately: {named}</div>" if named else "")
        + "</div>"
    )


def phase_title() -> str:
    """What the bars are made of."""
    keys = [(plots.PHASE_NAMES[name], colour) for name, colour in plots.PHASE_COLOURS.items()]
    return _title("Step time", *keys)


def commands(rows: Sequence[Row]) -> str:
    """The list of commands and their answers, the newest first."""
    if not rows:
        return '<div class="idl-faint">No commands yet.</div>'
    tones = {"pending": "wait", "applied": "good", "refused": "bad"}
    lines = (
        f'<tr title="{escape(row.who)}"><td class="idl-faint">{_clock(row.sent_s)}</td>'
        f"<td>{escape(row.text)}</td><td>{badge(row.answer, tones[row.answer])}</td>"
        f"<td>{escape(row.detail)}</td></tr>"
        for row in rows
    )
    return f'<table class="idl-commands">{"".join(lines)}</table>'


def losses(lost: Sequence[RankLost]) -> str:
    """Who died, where, after which step and why; empty if nobody did."""
    return "".join(
        f'<div class="idl-loss">{badge("lost", "bad")} rank {one.rank} (engine {one.engine} on'
        f" {escape(one.host)}) after step {one.last_step}: {escape(one.reason)}</div>"
        for one in lost
    )


def untold(count: int) -> str:
    """What the curves lack; empty if they lack nothing."""
    if not count:
        return ""
    what = "1 event was" if count == 1 else f"{count:,} events were"
    return f'<div class="idl-faint">{what} lost on the way here: curves may have gaps.</div>'


def cluster_header(cluster_id: str, state: str, reason: str, engines: int) -> str:
    """Which cluster, and whether it can work."""
    tones = {"ready": "good", "stopped": "calm", "cancelled": "calm"}
    bad = ("failed", "refused", "impossible", "pre-empted", "timed out")
    tones |= dict.fromkeys(bad, "bad")
    count = f"{engines} engine{'' if engines == 1 else 's'}"
    return (
        f'<div class="idl-header"><b>{escape(cluster_id)}</b>'
        f'{badge(state, tones.get(state, "wait"))}<span class="idl-facts">{count}</span></div>'
        + (f'<div class="idl-reason">{escape(reason)}</div>' if reason else "")
    )


def engines(rows: Sequence[EngineRow]) -> str:
    """The table of a cluster's engines; columns that no engine fills are left out."""
    if not rows:
        return '<div class="idl-faint">No engines.</div>'
    most_bytes = max((row.load.rss_bytes or 0 for row in rows), default=0)
    has_gpus = any(row.load.gpu_percent is not None for row in rows)
    names = ["rank", "engine", "host", "pid", "state", "CPU", "memory", *["GPU"] * has_gpus]
    head = "".join(f"<th>{name}</th>" for name in names)
    body = "".join(_engine(row, most_bytes, has_gpus) for row in rows)
    return f'<table class="idl-engines"><tr>{head}</tr>{body}</table>'


def meter(share: float | None, text: str) -> str:
    """A small bar and what it stands for; a dash where nothing was measured."""
    if share is None:
        return '<span class="idl-faint">–</span>'
    width = f"{100 * min(1.0, max(0.0, share)):.0f}%"
    return f'<span class="idl-meter"><i style="width:{width}"></i></span>{escape(text)}'


def _engine(row: EngineRow, most_bytes: int, has_gpus: bool) -> str:
    load = row.load
    state = badge(row.state, {"ready": "good", "starting": "wait", "dead": "bad"}[row.state])
    cells = [str(row.rank), str(row.id), escape(row.host), str(row.pid), state]
    if row.state == "dead":
        width = 2 + has_gpus
        return f"<tr>{_cells(cells)}<td colspan={width}>{escape(row.reason)}</td></tr>"
    cpu, rss = load.cpu_percent, load.rss_bytes
    cells.append(meter(None if cpu is None else cpu / 100, f"{cpu or 0:.0f} %"))
    share = None if rss is None else rss / max(most_bytes, 1)
    cells.append(meter(share, f"{(rss or 0) / 1e9:.2f} GB"))
    if has_gpus:
        gpu, held = load.gpu_percent, load.gpu_memory_bytes
        text = f"{gpu or 0:.0f} %, {(held or 0) / 1e9:.1f} GB"
        cells.append(meter(None if gpu is None else gpu / 100, text))
    return f"<tr>{_cells(cells)}</tr>"


def _cells(cells: Sequence[str]) -> str:
    return "".join(f"<td>{cell}</td>" for cell in cells)


def _title(text: str, *keys: tuple[str, str]) -> str:
    legend = "".join(
        f'<span class="idl-key"><i style="background:{colour}"></i>{escape(name)}</span>'
        for name, colour in keys
    )
    return f'<div class="idl-title">{escape(text)}{legend}</div>'


def _of(what: str, count: int, total: int | None) -> str:
    return f"{what} {count:,}" + (f" / {total:,}" if total is not None else "")


def _clock(time_s: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(time_s))
