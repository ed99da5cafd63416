"""What MPI leaves on a host when an engine ends."""

from __future__ import annotations

import mmap
import secrets
from pathlib import Path

from interactive_dl.engine._mpi import unlink_segments


def test_mpichs_shared_memory_has_no_name_once_all_have_mapped_it() -> None:
    word = secrets.token_hex(8)
    own, others, open_mpis = (
        Path("/dev/shm") / name
        for name in (f"mpich_shm_{word}_0", f"mpich_shm_{word}_1", f"sm_segment.{word}")
    )
    for path in (own, others, open_mpis):
        path.write_bytes(bytes(mmap.PAGESIZE))
    try:
        with (
            own.open("r+b") as mine,
            open_mpis.open("r+b") as another,
            mmap.mmap(mine.fileno(), 0) as mapped,
            mmap.mmap(another.fileno(), 0),
        ):
            for _ in range(2):
                unlink_segments()
            mapped[:4] = b"kept"
            assert mapped[:4] == b"kept"
        assert [path.exists() for path in (own, others, open_mpis)] == [False, True, True]
    finally:
        for path in (own, others, open_mpis):
            path.unlink(missing_ok=True)
