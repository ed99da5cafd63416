"""What a launcher needs of the environment and of Slurm."""

from __future__ import annotations

import pytest

from interactive_dl.cluster import _preflight
from interactive_dl.cluster.slurm import commands, fitness
from interactive_dl.cluster.slurm.launchers import launcher
from interactive_dl.errors import MixedMPIError, RequestError


def _there_are(
    monkeypatch: pytest.MonkeyPatch, *, mpis: tuple[str, ...], plug_ins: tuple[str, ...]
) -> None:
    monkeypatch.setattr(_preflight, "installed_mpis", lambda: mpis)
    monkeypatch.setattr(commands, "plug_ins", lambda: plug_ins)


@pytest.mark.parametrize(
    ("plug_in", "mpis"),
    [("pmix", ("openmpi",)), ("pmix", ()), ("pmi2", ("mpich",)), ("pmi2", ())],
)
def test_slurms_plug_in_and_its_mpi_need_no_mpiexec(
    plug_in: str, mpis: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    _there_are(monkeypatch, mpis=mpis, plug_ins=("none", plug_in))
    fitness.check(launcher(f"srun:{plug_in}"), "/nowhere")


@pytest.mark.parametrize(
    ("plug_in", "mpi", "offered"), [("pmix", "openmpi", "pmi2"), ("pmi2", "mpich", "pmix")]
)
def test_a_plug_in_that_slurm_lacks_is_told_with_those_that_it_has(
    plug_in: str, mpi: str, offered: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _there_are(monkeypatch, mpis=(mpi,), plug_ins=("none", offered))
    with pytest.raises(RequestError, match=rf"names none, {offered}.*launcher='mpiexec'"):
        fitness.check(launcher(f"srun:{plug_in}"), "/nowhere")


@pytest.mark.parametrize(
    ("name", "wheel", "fitting"),
    [
        ("srun:pmix", "mpich", "launcher='srun:pmi2'"),
        ("mpiexec", "mpich", "launcher='srun:pmi2'"),
        ("srun:pmi2", "openmpi", "launcher='mpiexec' or launcher='srun:pmix'"),
    ],
)
def test_an_mpi_that_does_not_fit_is_told_with_the_launchers_that_do(
    name: str, wheel: str, fitting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _there_are(monkeypatch, mpis=(wheel,), plug_ins=("pmix", "pmi2"))
    with pytest.raises(MixedMPIError, match=f"{name} makes one world .* size 1.*{fitting}"):
        fitness.check(launcher(name), "/nowhere")
