"""Files that a reader sees whole, as they were before or as they are after."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write(path: Path, content: str | bytes) -> None:
    """Write under a name of its own, which only this user may read, then rename.

    Raises:
        OSError: it cannot be written; what was there stays, and nothing is left beside it.
    """
    data = content.encode() if isinstance(content, str) else content
    descriptor, partial = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
        os.replace(partial, path)
    except BaseException:
        os.unlink(partial)
        raise
