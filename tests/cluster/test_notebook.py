"""What a scientist types: ``%cluster`` and ``%%px`` in a real kernel."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import nbformat
import pytest
from jupyter_client.manager import KernelManager, start_new_kernel
from nbclient import NotebookClient

from interactive_dl.cluster import Cluster

_TIMEOUT_S = 60


@pytest.fixture
def named() -> Iterator[str]:
    yield "from-a-notebook"
    if "from-a-notebook" in [one.id for one in Cluster.list()]:
        Cluster.attach("from-a-notebook").stop()


def _run(*cells: str) -> list[str]:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, timeout=_TIMEOUT_S, kernel_name="python3").execute()
    return [str(cell.outputs) for cell in notebook.cells]


def test_px_runs_right_after_start_and_the_magics_say_what_is(named: str) -> None:
    outputs = _run(
        "%load_ext interactive_dl",
        f"%cluster start -n 2 --id {named}",
        "%%px\nfrom interactive_dl.engine import world\nprint('group', world.form().ids)",
        "%%px --targets 1\nprint('alone', world.cell_targets())",
        "%cluster status",
        "%cluster list",
        "cluster.stop()",
    )
    assert outputs[2].count("group (0, 1)") == 2
    assert "alone (1,)" in outputs[3]
    assert f"{named}: ready" in outputs[4]
    assert "engine 1  rank 1" in outputs[4]
    assert named in outputs[5]
    assert named not in [one.id for one in Cluster.list()]


def test_a_second_notebook_attaches_after_the_first_kernel_was_killed(named: str) -> None:
    manager, client = start_new_kernel(kernel_name="python3")
    try:
        reply = client.execute_interactive(
            "import interactive_dl as idl, os\n"
            f"cluster = idl.Cluster(1, cluster_id={named!r}).start()\n"
            "cluster.client[:].push({'kept': 42}, block=True)",
            timeout=_TIMEOUT_S,
        )
        assert reply["content"]["status"] == "ok", reply["content"]
        _kill(manager)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    outputs = _run(
        "%load_ext interactive_dl",
        f"%cluster attach {named}",
        "%px print('still', kept)",
        "%cluster stop",
    )
    assert "still 42" in outputs[2]


def test_the_doctor_is_called_from_a_cell_and_shows_a_table() -> None:
    (output,) = _run("import interactive_dl as idl\nidl.doctor()")
    assert "text/html" in output
    assert "0 of" in output
    assert "checks failed" in output
    assert "allreduce, Horovod" in output


def test_a_magic_without_a_cluster_says_what_to_type() -> None:
    (_, output) = _run(
        "%load_ext interactive_dl",
        "import IPython\n"
        "try:\n"
        "    IPython.get_ipython().run_line_magic('cluster', 'status')\n"
        "except IPython.core.error.UsageError as error:\n"
        "    print(error)",
    )
    assert "%cluster start" in output


def _kill(manager: KernelManager) -> None:
    assert manager.provisioner is not None
    os.kill(manager.provisioner.pid, signal.SIGKILL)
