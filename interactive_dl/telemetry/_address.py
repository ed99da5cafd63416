"""Where a cluster's recorder listens, and the keys to speak with it: a file for its user only."""

from __future__ import annotations

from pathlib import Path

import msgspec

from interactive_dl.errors import RecorderUnreachableError
from interactive_dl.telemetry import whole

CLUSTER_VARIABLE = "IDL_CLUSTER"
"""Environment variable that holds the cluster's folder in all of its processes."""


class Address(msgspec.Struct, frozen=True):
    """How to reach a recorder; keys in Z85.

    Attributes:
        endpoint: for ZeroMQ.
        recorder_key: public key of the recorder.
        client_key: public key of all who may call it.
        client_secret: the secret key to it.
    """

    endpoint: str
    recorder_key: str
    client_key: str
    client_secret: str


def path_in(folder: Path) -> Path:
    return folder / "recorder.json"


def write(folder: Path, address: Address) -> None:
    """Never readable by others, not even for a moment."""
    whole.write(path_in(folder), msgspec.json.encode(address))


def read(folder: Path) -> Address:
    """The address of the cluster's recorder.

    Raises:
        RecorderUnreachableError: there is none, or it may not be read.
    """
    path = path_in(folder)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Address)
    except (OSError, msgspec.MsgspecError) as error:
        raise RecorderUnreachableError(
            f"A cluster's recorder tells its address in {path}, but that cannot be read: {error}."
            " Was the cluster stopped? Type: idl.Cluster.list()"
        ) from error
