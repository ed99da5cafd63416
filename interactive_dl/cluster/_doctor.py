"""``idl doctor``: is this environment fit for distributed training, and if not, why."""

from __future__ import annotations

import html
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from interactive_dl.cluster import _doctor_checks as checks
from interactive_dl.cluster import _doctor_probes as probes
from interactive_dl.cluster._doctor_checks import Check
from interactive_dl.cluster.environment import mpi_environment

_RANKS = 2


@dataclass(frozen=True)
class Report:
    """What the doctor found; a notebook shows it as a table.

    Attributes:
        checks: one finding each.
    """

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether every check passed."""
        return all(check.ok for check in self.checks)

    def json(self) -> str:
        """All findings: ``{"ok": bool, "checks": [{"name", "ok", "value", "cause", "fix"}]}``."""
        return json.dumps({"ok": self.ok, "checks": [asdict(one) for one in self.checks]}, indent=1)

    def __repr__(self) -> str:
        lines = [line for check in self.checks for line in _text(check)]
        failed = sum(not check.ok for check in self.checks)
        return "\n".join([*lines, f"{failed} of {len(self.checks)} checks failed"])

    def _repr_html_(self) -> str:
        rows = "".join(_row(check) for check in self.checks)
        return f"<table>{rows}</table>"


def doctor(environment: Mapping[str, str] | None = None) -> Report:
    """Examine this environment; takes about 20 s, because two ranks really reduce.

    Args:
        environment: variables over those that a cluster sets, as for ``Cluster``.
    """
    variables = {**mpi_environment(_RANKS), **(environment or {})}
    packages = probes.package_versions()
    mpi4py = probes.ask("mpi", variables)
    horovod = probes.ask("horovod", variables)
    mpiexec = probes.mpiexec(variables)
    gpus = probes.gpus()
    return Report(
        (
            checks.python(sys.version_info[:3]),
            *checks.frameworks(packages),
            checks.horovod_build(horovod, packages, gpus),
            *checks.mpi(mpi4py, horovod, mpiexec),
            checks.allreduce("MPI", probes.ask_ranks("allreduce-mpi", _RANKS, variables), _RANKS),
            checks.allreduce(
                "Horovod", probes.ask_ranks("allreduce-horovod", _RANKS, variables), _RANKS
            ),
            *checks.machine(probes.machine()),
            checks.gpus(gpus),
            *checks.connections(probes.connection_files()),
        )
    )


def _text(check: Check) -> list[str]:
    head = f"{'ok    ' if check.ok else 'FAILED'}  {check.name:<22} {check.value}"
    if check.ok:
        return [head]
    return [head, f"        cause: {check.cause}", f"        fix:   {check.fix}"]


def _row(check: Check) -> str:
    mark = "✓" if check.ok else "✗"
    cells = [mark, check.name, check.value]
    row = "".join(f'<td style="text-align:left">{html.escape(cell)}</td>' for cell in cells)
    if check.ok:
        return f"<tr>{row}</tr>"
    why = f"<b>cause</b> {html.escape(check.cause)}<br><b>fix</b> {html.escape(check.fix)}"
    return f'<tr>{row}</tr><tr><td></td><td colspan="2" style="text-align:left">{why}</td></tr>'
