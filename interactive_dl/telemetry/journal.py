"""A run's journal: an append-only file with one writer and any number of readers.

One record a line, after a first line that says what the file is. A record is there from its line's
end on: a writer that dies within a line leaves a torn one, which readers do not see and the next
writer cuts off. What ``write`` was given survives the death of the process at once; the kernel
brings it to the disk.

    runs/rpv-20260314-101500-a1b2.jsonl
    {"journal":1,"run":"rpv-20260314-101500-a1b2","package":"0.1.0"}
    {"run":"rpv-20260314-101500-a1b2","engine":0,"seq":0,"time_s":...,"event":{"kind":"Started",...
"""

from __future__ import annotations

import fcntl
import gc
import importlib.metadata
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from interactive_dl.errors import JournalError
from interactive_dl.telemetry._sketches import SketchRecord
from interactive_dl.telemetry.events import RECORDER, Record

FORMAT = 1
SUFFIX = ".jsonl"
PROGRAM_SUFFIXES = (".search", ".work")
"""Ends of ids of what is no training: a search, and what its engines tell."""
RUNS_VARIABLE = "IDL_RUNS"
"""Environment variable that holds the folder of journals."""

LIMIT_BYTES = 2**20
_RUN_ID = re.compile(r"(?P<name>.+)-(?P<time>\d{8}-\d{6})-[0-9a-f]{4}")
_TAIL_BYTES = 2**16


class Header(msgspec.Struct, frozen=True, omit_defaults=True):
    """A journal's first line.

    Attributes:
        journal: version of the format.
        run: id of the run.
        package: version of this package that wrote it.
        cluster: folder of the cluster whose recorder writes it; empty where the training does.
    """

    journal: int
    run: str
    package: str
    cluster: str = ""


class Chunk(NamedTuple):
    """Part of a journal.

    Attributes:
        offset: where it begins, in bytes.
        data: whole lines.
        size: bytes of whole lines that the journal has; nothing is left where it ends there.
    """

    offset: int
    data: bytes
    size: int

    @property
    def next_offset(self) -> int:
        """Where to go on reading."""
        return self.offset + len(self.data)

    @property
    def is_last(self) -> bool:
        """Whether it reaches the journal's end."""
        return self.next_offset >= self.size

    def parts(self, limit_bytes: int) -> Iterator[Chunk]:
        """The chunk in pieces of whole lines, each as short as possible from ``limit_bytes`` on.

        There is at least one, be it empty.
        """
        begin = 0
        while True:
            end = self.data.find(b"\n", begin + limit_bytes - 1) + 1 or len(self.data)
            yield Chunk(self.offset + begin, self.data[begin:end], self.size)
            if end == len(self.data):
                return
            begin = end


class BriefEvent(msgspec.Struct, frozen=True, gc=False):
    """What a recorder needs to know of an event; the rest is skipped while reading."""

    kind: str
    id: str = ""
    outcome: str = ""
    engines: tuple[int, ...] = ()


class Brief(msgspec.Struct, frozen=True, gc=False):
    """A record without most of its event."""

    run: str
    engine: int
    seq: int
    event: BriefEvent


_RECORDS = msgspec.json.Decoder(Record)
_SKETCHES = msgspec.json.Decoder(SketchRecord)
_BRIEF = msgspec.json.Decoder(Brief)
_HEADER = b'{"journal":'
_OUTCOMES = (b'"Ended"', b'"StateChanged"')


AnyRecord = TypeVar("AnyRecord", bound=Record)


class Origin(NamedTuple):
    """What a run's id says: its name as far as it fits a file's, and when it began."""

    name: str
    began_s: float


def package_version() -> str:
    """Of this package, as installed."""
    try:
        return importlib.metadata.version("interactive-dl")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def runs_folder() -> Path:
    """Where journals go by default: ``$IDL_RUNS``, or ``runs`` in the working directory."""
    return Path(os.environ.get(RUNS_VARIABLE) or "runs").absolute()


def path_of(folder: Path, run: str) -> Path:
    """Where the journal of ``run`` lies.

    Raises:
        JournalError: the id cannot name a file.
    """
    if not run or run.startswith(".") or "/" in run or "\0" in run:
        raise JournalError(
            f"A run's id names its journal's file, but got {run!r}. Ids come from"
            " telemetry.events.new_run_id(name)."
        )
    return folder / f"{run}{SUFFIX}"


def origin(run: str) -> Origin:
    """Read a run's id; one that was made otherwise is all name, and began at 0."""
    end = next((one for one in PROGRAM_SUFFIXES if run.endswith(one)), "")
    parts = _RUN_ID.fullmatch(run.removesuffix(end))
    if parts is None:
        return Origin(run, 0.0)
    began = datetime.strptime(parts["time"], "%Y%m%d-%H%M%S").replace(tzinfo=UTC)
    return Origin(parts["name"], began.timestamp())


class Writer:
    """The one process that writes a journal.

    Attributes:
        path: of the journal.
        size: bytes written, the first line included.
    """

    def __init__(self, path: Path, descriptor: int, size: int) -> None:
        self.path = path
        self.size = size
        self._descriptor = descriptor

    @classmethod
    def open(cls, path: Path, run: str, cluster: str = "") -> Writer:
        """Begin a journal, or go on with one: a torn last line is cut off.

        Args:
            path: of the journal; its folder is made if need be.
            run: id of the run.
            cluster: folder of the cluster whose recorder writes.

        Raises:
            JournalError: it cannot be written, another process writes it, or it is of another run.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise _unwritable(path, error) from error
        try:
            _lock(path, descriptor)
            writer = cls(path, descriptor, _cut_torn_line(descriptor))
            if writer.size == 0:
                begin = Header(FORMAT, run, package_version(), cluster)
                writer.append([msgspec.json.encode(begin)])
            elif (found := header(path)).run != run:
                raise JournalError(
                    f"A journal belongs to one run, but {path} is of {found.run!r} and"
                    f" {run!r} was to be written to it. Use another folder: $IDL_RUNS."
                )
        except BaseException:
            os.close(descriptor)
            raise
        return writer

    def append(self, lines: Sequence[bytes]) -> Chunk:
        """Write whole lines, all or none.

        Args:
            lines: without their ends.

        Returns:
            What was written, as ``read`` would have it.

        Raises:
            JournalError: the disk is full, or gone; the journal is as it was.
        """
        data = b"".join([line + b"\n" for line in lines])
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError as error:
            os.ftruncate(self._descriptor, self.size)
            raise _unwritable(self.path, error) from error
        self.size += len(data)
        return Chunk(self.size - len(data), data, self.size)

    def close(self) -> None:
        """Let go of the file; may be called again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def header(path: Path) -> Header:
    """A journal's first line.

    Raises:
        JournalError: there is no such file, it is no journal, or of a newer format.
    """
    return decode_header(read(path, 0, 1).data.partition(b"\n")[0], str(path))


def decode_header(line: bytes, of: str) -> Header:
    """Read a journal's first line.

    Args:
        line: with or without its end.
        of: what the journal is called in errors.

    Raises:
        JournalError: it is none, or of a newer format.
    """
    try:
        found = msgspec.json.decode(line or b"null", type=Header)
    except msgspec.MsgspecError as error:
        raise JournalError(
            f"A journal begins with a line that says so, but {of} does not ({error}). Journals are"
            f" the files RUN{SUFFIX} in the folder of runs."
        ) from error
    if found.journal > FORMAT:
        raise JournalError(
            f"This version of interactive-dl ({package_version()}) reads journals up to format"
            f" {FORMAT}, but {of} is of format {found.journal}, written by {found.package}. Type:"
            " pip install --upgrade interactive-dl"
        )
    return found


def read(path: Path, offset: int, limit_bytes: int = LIMIT_BYTES) -> Chunk:
    """Whole lines from ``offset`` on.

    Args:
        path: of the journal.
        offset: bytes; the beginning of a line.
        limit_bytes: about how much to read at most; one line is always read whole.

    Raises:
        JournalError: it cannot be read.
    """
    try:
        with path.open("rb", buffering=0) as file:
            size = _whole_lines(file.fileno())
            wanted = max(0, min(limit_bytes, size - offset))
            data = os.pread(file.fileno(), wanted, offset)
            while (end := data.rfind(b"\n") + 1) == 0 and offset + len(data) < size:
                data += os.pread(file.fileno(), LIMIT_BYTES, offset + len(data))
    except OSError as error:
        raise JournalError(
            f"A journal is a readable file, but {path} is not: {error}. Type: ls -l {path.parent}"
        ) from error
    return Chunk(offset, data[:end], size)


def decode(chunk: Chunk, of: str) -> list[Record]:
    """The records of a chunk.

    Args:
        chunk: part of a journal; the header is left out where it begins there.
        of: what the journal is called in errors.

    Raises:
        JournalError: a line is no record that this version knows.
    """
    return _decoded(chunk, of, _RECORDS)


def sketches(chunk: Chunk, of: str) -> Sequence[Record]:
    """As ``decode``, in half the time, for a ``History``, which reads what is told of the ranks
    itself (``_sketches.read``); only then it may turn out to be wrong.
    """
    return _decoded(chunk, of, _SKETCHES)


def _decoded(chunk: Chunk, of: str, decoder: msgspec.json.Decoder[AnyRecord]) -> list[AnyRecord]:
    data = chunk.data
    if chunk.offset == 0 and data:
        end = data.index(b"\n") + 1
        decode_header(data[:end], of)
        data = data[end:]
    try:
        with _no_collections():
            return decoder.decode_lines(data)
    except msgspec.MsgspecError as error:
        raise JournalError(
            f"A line of {of} after byte {chunk.offset} is no record that this version of"
            f" interactive-dl ({package_version()}) knows: {error}. The journal's first line names"
            " the version that wrote it; install that one, or a newer."
        ) from error


def records(path: Path) -> Iterator[Record]:
    """All records of a journal, as they lie.

    Raises:
        JournalError: it cannot be read.
    """
    offset = 0
    while True:
        chunk = read(path, offset)
        yield from decode(chunk, str(path))
        offset = chunk.next_offset
        if chunk.is_last:
            return


def brief(line: bytes) -> Brief:
    """The beginning of a record; quicker than the whole.

    Raises:
        msgspec.MsgspecError: the line is no record.
    """
    return _BRIEF.decode(line)


def outcome(path: Path) -> str | None:
    """How a run ended, by the end of its journal; None where it has not, or without a word.

    Raises:
        JournalError: it cannot be read.
    """
    found = None
    data = _end(path, _TAIL_BYTES)
    if not any(word in data for word in _OUTCOMES):  # asked for whenever a journal is read on
        return None
    for line in data.splitlines():
        if line.startswith(_HEADER):
            continue
        record = brief(line)
        if record.event.kind == "Ended":
            found = record.event.outcome
        elif record.event.kind == "Reopened":
            found = None  # a search that goes on
        elif record.engine == RECORDER and record.event.kind == "StateChanged":
            found = None if found == "lost" else found
    return found


def is_over(path: Path) -> bool:
    """Whether a run has ended for good: one that was lost may be heard again.

    Raises:
        JournalError: it cannot be read.
    """
    return outcome(path) not in (None, "lost")


def tail(path: Path, limit_bytes: int = _TAIL_BYTES) -> list[bytes]:
    """The last whole lines, without their ends; a line that is longer than the limit is left out.

    Raises:
        JournalError: it cannot be read.
    """
    return _end(path, limit_bytes).splitlines()


def _end(path: Path, limit_bytes: int) -> bytes:
    """The last whole lines."""
    try:
        with path.open("rb", buffering=0) as file:
            size = _whole_lines(file.fileno())
            begin = max(0, size - limit_bytes)
            data = os.pread(file.fileno(), size - begin, begin)
    except OSError as error:
        raise JournalError(f"A journal is a readable file, but {path} is not: {error}.") from error
    return data if begin == 0 else data[data.find(b"\n") + 1 :]


def journals(folder: Path) -> dict[str, Path]:
    """The journals of a folder's runs, the newest last."""
    return {run: path for run, path in files(folder).items() if not _is_program(run)}


def programs(folder: Path) -> dict[str, Path]:
    """The journals of a folder that are no training's, such as searches', the newest last."""
    return {run: path for run, path in files(folder).items() if _is_program(run)}


def _is_program(run: str) -> bool:
    return run.endswith(PROGRAM_SUFFIXES)


def files(folder: Path) -> dict[str, Path]:
    """All journals of a folder by run, the newest last."""
    paths = {path.name.removesuffix(SUFFIX): path for path in folder.glob(f"*{SUFFIX}")}
    return dict(sorted(paths.items(), key=lambda item: (origin(item[0]).began_s, item[0])))


@contextmanager
def _no_collections() -> Iterator[None]:
    """Without the garbage collector, which would look at each of many new objects, again and again:
    records form no cycles.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _lock(path: Path, descriptor: int) -> None:
    """Held until the descriptor is closed, by death too; some network disks know no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise JournalError(
            f"A journal has one writer, but another process writes {path}. Two trainings of one"
            " run id? Ids come from telemetry.events.new_run_id(name)."
        ) from error
    except OSError:
        return


def _cut_torn_line(descriptor: int) -> int:
    size = _whole_lines(descriptor)
    if size < os.fstat(descriptor).st_size:
        os.ftruncate(descriptor, size)
    return size


def _whole_lines(descriptor: int) -> int:
    """Size of the file without a torn last line."""
    end = os.fstat(descriptor).st_size
    while end > 0:
        begin = max(0, end - _TAIL_BYTES)
        at = os.pread(descriptor, end - begin, begin).rfind(b"\n")
        if at >= 0:
            return begin + at + 1
        end = begin
    return 0


def _unwritable(path: Path, error: OSError) -> JournalError:
    return JournalError(
        f"A run's journal must be writable, but {path} is not: {error}. Type: df -h {path.parent};"
        f" another folder: $IDL_RUNS."
    )
