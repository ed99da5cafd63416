"""One GPU per local rank, where there are GPUs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import cache

from interactive_dl.errors import GroupError


def claim(local_rank: int) -> None:
    """Show this process one GPU only, chosen by its local rank; do nothing without GPUs.

    The choice must fall before a framework opens the devices, and is for life: a process that
    has a GPU keeps it through every later group.

    Raises:
        GroupError: a framework has opened the GPUs already and sees more than one.
    """
    if os.environ.get("IDL_GPU") is not None:
        return
    gpus = visible_gpus()
    if not gpus:
        return
    chosen = gpus[local_rank % len(gpus)]
    if _cuda_is_open():
        raise GroupError(
            "One GPU per local rank must be chosen before a framework opens the GPUs, but torch"
            " has opened them. Restart the engines (cluster.restart()) and call engine.init()"
            " before the first computation."
        )
    os.environ["CUDA_VISIBLE_DEVICES"] = os.environ["IDL_GPU"] = chosen
    if "tensorflow" in sys.modules:
        _restrict_tensorflow(gpus.index(chosen))


@cache
def visible_gpus() -> tuple[str, ...]:
    """Indices or UUIDs of the GPUs that this process may use."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return tuple(name for name in visible.split(",") if name.strip() not in {"", "-1"})
    if shutil.which("nvidia-smi") is None:
        return ()
    listing = subprocess.run(
        ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return tuple(listing.stdout.split()) if listing.returncode == 0 else ()


def _cuda_is_open() -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and bool(torch.cuda.is_initialized())


def _restrict_tensorflow(index: int) -> None:
    import tensorflow as tf

    devices = tf.config.list_physical_devices("GPU")
    if len(devices) > 1:
        tf.config.set_visible_devices(devices[index], "GPU")
