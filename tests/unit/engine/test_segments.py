"""What MPI leaves on a host when an engine ends."""

from __future__ import annotations

import mmap
import secrets
from pathlib import Path

from interactive_dl.engine._mpi import unlink_segments


def test_mpichs_shared_memory_has_no_name_once_all_have_mapped_it() -> None:
    own = Path(f"/dev/shm/mpich_shm_{secrets.token_hex(8)}_0")
    others = own.with_name(f"{own.name}9")
    for path in (own, others):
        path.write_bytes(bytes(mmap.PAGESIZE))
    try:
        with own.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
            for _ in range(2):
                unlink_segments()
            assert not own.exists()
            mapped[:4] = b"kept"
            assert mapped[:4] == b"kept"
        assert others.exists()
    finally:
        own.unlink(missing_ok=True)
        others.unlink()
