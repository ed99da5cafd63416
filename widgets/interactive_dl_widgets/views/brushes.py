"""What a person marks on axes: which trials lie within, and the ranges that would be left."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from interactive_dl_widgets.views.axes import Axis, narrowed

if TYPE_CHECKING:
    from interactive_dl.search.ranges import AnyDimension
    from interactive_dl.search.space import Space

Brush = tuple[float, float]
"""The least and the greatest number on an axis."""
Corners = tuple[float, float, float, float]
"""A box: least and greatest x, least and greatest y."""

_NEAR = 0.4
_LEAST_PLACE = 0.01


def on_parallel(axes: Sequence[Axis], box: Corners) -> dict[str, Brush | None]:
    """What a box over parallel axes, which stand at x = 0, 1 ..., marks on each.

    A box between axes belongs to the nearest. One without height, as a click makes it, takes the
    axis' brush away: None.
    """
    x0, x1, y0, y1 = box
    within = [at for at in range(len(axes)) if x0 <= at <= x1]
    nearest = round((x0 + x1) / 2)
    if not within and 0 <= nearest < len(axes) and abs((x0 + x1) / 2 - nearest) <= _NEAR:
        within = [nearest]
    low, high = max(0.0, y0), min(1.0, y1)
    if high - low < _LEAST_PLACE:
        return {axes[at].name: None for at in within}
    return {axes[at].name: (axes[at].at(low), axes[at].at(high)) for at in within}


def on_scatter(x: Axis, y: Axis, box: Corners) -> dict[str, Brush | None]:
    """What a box over two axes marks on both; one without an extent takes the brushes away."""
    marked: dict[str, Brush | None] = {}
    for axis, low, high in ((x, *box[:2]), (y, *box[2:])):
        is_open = math.isfinite(low) and math.isfinite(high) and low < high
        marked[axis.name] = (low, high) if is_open else None
    return marked


def ranges(space: Space, brushes: Mapping[str, Brush]) -> dict[str, AnyDimension]:
    """The ranges that brushes would leave, of those parameters whose range would change."""
    left = {}
    for name, (low, high) in brushes.items():
        if name not in space.dimensions:
            continue
        dimension = space.dimensions[name]
        part = narrowed(dimension, low, high)
        if part is not None and part != dimension:
            left[name] = part
    return left


def words(axis: Axis, brush: Brush) -> str:
    """A brush as a person reads it: ``lr 0.0001 … 0.003``, ``optimizer adam``."""
    low, high = brush
    if axis.scale == "choice":
        first, last = max(0, math.ceil(low)), min(len(axis.options) - 1, math.floor(high))
        return f"{axis.name} {', '.join(map(str, axis.options[first : last + 1])) or 'none'}"
    return f"{axis.name} {axis.label(low)} … {axis.label(high)}"
