"""HTML of what is said in words of a search; see ``render``."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from interactive_dl_widgets import search_plots
from interactive_dl_widgets.render import badge, commands
from interactive_dl_widgets.views.commands import number
from interactive_dl_widgets.views.standing import duration

if TYPE_CHECKING:
    from interactive_dl_widgets._importance import Computed
    from interactive_dl_widgets.views.commands import Row
    from interactive_dl_widgets.views.progress import SearchProgress
    from interactive_dl_widgets.views.trials import Column
    from interactive_dl_widgets.views.trials import Row as Cells

TONES = {
    "running": "good",
    "finished": "good",
    "starting": "wait",
    "queued": "wait",
    "paused": "wait",
    "pruned": "calm",
    "stopped": "calm",
    "failed": "bad",
    "quarantined": "bad",
    "lost": "bad",
    "abandoned": "bad",
    "not started": "calm",
}
_NAMED = 12


def header(name: str, search_id: str, now: SearchProgress) -> str:
    """Which search, how far, what it has found."""
    over = sum(count for state, count in now.counts if state not in ("running", "queued", "paused"))
    planned = "" if now.trials is None else f" / {now.trials:,}"
    facts = [f"{over:,}{planned} trials", *(f"{n:,} {state}" for state, n in now.counts)]
    if not now.is_over:
        facts.append(f"{now.engines} engine{'' if now.engines == 1 else 's'} busy")
    facts.append(now.method)
    budget = "" if now.budget_s is None else f" / {duration(now.budget_s)}"
    tone = TONES.get(now.state, "calm")
    reason = f'<span class="idl-reason">{escape(now.reason)}</span>' if now.reason else ""
    bar = ""
    if now.done is not None:
        bar = (
            f'<div class="idl-bar"><div class="idl-{tone}" style="width:{100 * now.done:.1f}%">'
            "</div></div>"
        )
    return (
        f'<div class="idl-header"><b title="{escape(search_id)}">{escape(name)}</b>'
        f"{badge(now.state, tone)}{reason}"
        f'<span class="idl-facts">{escape(" · ".join(filter(None, facts)))}</span>'
        f'<span class="idl-left">{duration(now.elapsed_s)}{budget}</span></div>{bar}{best(now)}'
    )


def best(now: SearchProgress) -> str:
    """The best trial, and what is the same for all."""
    fixed = ", ".join(f"{name}={_value(value)}" for name, value in now.fixed)
    fixed = f'<span class="idl-faint">fixed: {escape(fixed)}</span>' if fixed else ""
    if now.best is None:
        text = f'<span class="idl-faint">{escape(now.metric)}: no trial has finished yet</span>'
    else:
        params = ", ".join(f"{name}={_value(value)}" for name, value in now.best_params)
        text = (
            f"best: trial <b>{now.best}</b>, {escape(now.metric)}:"
            f' <b>{number(now.best_value)}</b> <span class="idl-faint">{escape(params)}</span>'
        )
    return f'<div class="idl-title"><span>{text}</span>{fixed}</div>'


def learning_title(
    keys: Sequence[tuple[int, str]], rungs: Sequence[int], *, is_chosen: bool, is_empty: bool
) -> str:
    """Whose curves are which, in one line: however many are selected, the plot stays in place."""
    keys_text = _keys([(str(trial), colour) for trial, colour in keys])
    notes = ["" if is_chosen or not keys else "the best so far, and those that run"]
    notes.append("no reports yet" if is_empty else "")
    notes.append(f"rungs at {', '.join(map(str, rungs))}" if rungs else "")
    note = " · ".join(filter(None, notes))
    named = ", ".join(str(trial) for trial, _ in keys)
    return (
        f'<div class="idl-title idl-line" title="{escape(named)}">'
        f'<span class="idl-faint">{note}</span> {keys_text}</div>'
    )


def best_title(states: Sequence[str]) -> str:
    """What the colours are."""
    keys = [("best so far", search_plots.BEST)]
    keys += [(state, search_plots.STATE_COLOURS[state]) for state in states]
    return f'<div class="idl-title">{_keys(keys)}</div>'


def parallel_title(drawn: int, of: int) -> str:
    """What the colours are, and how many of the trials are drawn."""
    sample = "" if drawn == of else f" · {drawn:,} of {of:,} trials, the best among them"
    ends = f"linear-gradient(90deg, {', '.join(search_plots.SHADES)})"
    return (
        '<div class="idl-title"><span class="idl-key">worse'
        f'<i class="idl-scale" style="background:{ends}"></i>better</span>'
        f"{_keys([('selected', search_plots.CHOSEN)])}"
        f'<span class="idl-faint">drag along an axis to mark a range{sample}</span></div>'
    )


def scatter_title(x: str, y: str) -> str:
    """Which axes they are."""
    return f'<div class="idl-title">{escape(y)} over {escape(x)}</div>'


def importance_title(now: Computed) -> str:
    """Of how many trials the importance is, or why there is none."""
    text = "importance" + (f" by {now.of} finished trials" if now.shares else "")
    notes = ["computing …" if now.is_computing else "", now.problem]
    note = f'<span class="idl-faint">{escape(" ".join(filter(None, notes)))}</span>'
    return f'<div class="idl-title">{text}{note}</div>'


def brushed(parts: Sequence[str], count: int) -> str:
    """What is marked, and how many trials lie within."""
    if not parts:
        return '<div class="idl-title"><span class="idl-faint">Nothing is marked.</span></div>'
    noun = "trial" if count == 1 else "trials"
    text = f"marked: <b>{escape(' · '.join(parts))}</b>"
    return f'<div class="idl-title">{text}<span class="idl-faint">{count} {noun}</span></div>'


def selected(numbers: Sequence[int]) -> str:
    """Which trials the buttons are for."""
    if not numbers:
        return '<span class="idl-faint">Select trials in the table to act on them.</span>'
    more = len(numbers) - _NAMED
    named = ", ".join(map(str, numbers[:_NAMED])) + (f" and {more} more" if more > 0 else "")
    return f"trial{'' if len(numbers) == 1 else 's'} <b>{named}</b>"


def form_title(trial: int | None) -> str:
    """What a form is for."""
    text = "Add a point" if trial is None else f"Clone trial {trial}, edited"
    return f'<div class="idl-title"><b>{text}</b></div>'


def actions(rows: Sequence[Row]) -> str:
    """What people did, and what came of it, the newest first."""
    return commands(rows) if rows else '<div class="idl-faint">No actions yet.</div>'


def problem(text: str) -> str:
    """What is wrong with what was typed; empty if nothing is."""
    return f'<div class="idl-problem">{escape(text)}</div>' if text else ""


def table(columns: Sequence[Column], rows: Sequence[Cells], of: int) -> str:
    """Some trials, for readers of a saved notebook."""
    if not rows:
        return ""
    head = "".join(f"<th>{escape(column.title)}</th>" for column in columns)
    body = "".join(f"<tr>{''.join(map(_cell, columns, row))}</tr>" for row in rows)
    note = f'<div class="idl-faint">the best {len(rows)} of {of:,} trials</div>'
    return f'<table class="idl-engines"><tr>{head}</tr>{body}</table>{note}'


def _cell(column: Column, cell: object) -> str:
    if cell is None:
        return "<td></td>"
    if column.kind == "state":
        state = str(cell).split(" ")[0]
        return f"<td>{badge(state, TONES.get(state, 'calm'))}</td>"
    if column.kind == "time" and isinstance(cell, float):
        return f"<td>{duration(cell)}</td>"
    return f"<td>{escape(_value(cell))}</td>"


def _keys(keys: Sequence[tuple[str, str]]) -> str:
    return "".join(
        f'<span class="idl-key"><i style="background:{colour}"></i>{escape(name)}</span>'
        for name, colour in keys
    )


def _value(value: object) -> str:
    return number(value) if isinstance(value, float) else str(value)
