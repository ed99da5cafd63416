"""What the processes of a cluster get in their environment."""

from __future__ import annotations

from interactive_dl.cluster import _processes
from interactive_dl.cluster._description import Options
from interactive_dl.cluster._places import Places
from interactive_dl.cluster.environment import mpi_environment
from interactive_dl.telemetry.commands import COLLECTIVES_VARIABLE


def ipyparallel_variables(places: Places) -> dict[str, str]:
    """What tells an engine its cluster."""
    return {"IPP_CLUSTER_ID": places.cluster_id, "IPP_PROFILE_DIR": str(places.profile)}


def environment_of(places: Places, options: Options) -> dict[str, str]:
    """What those on this machine get on top of this process's own environment."""
    ours = mpi_environment(options.engines, options.threads_per_engine)
    volatile = str(places.volatile)
    ours |= {
        _processes.MARK: str(places.folder),
        "OMPI_MCA_btl_sm_backing_directory": volatile,
        "PRTE_MCA_prte_tmpdir_base": volatile,
        COLLECTIVES_VARIABLE: options.collectives,
    }
    if options.where != "local":
        # Messages leave the machine.
        ours["IPP_ENABLE_CURVE"] = "1"
    return ours | options.environment
