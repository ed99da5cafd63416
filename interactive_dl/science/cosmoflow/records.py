"""TFRecord files of ``tf.train.Example`` messages, without TensorFlow.

A file is records one after another: uint64 length, uint32 masked CRC-32C of these 8 bytes, the
message, uint32 masked CRC-32C of the message; little endian. A message is a protocol buffer:
Example{1: Features{1: entry{1: name, 2: Feature{1: BytesList | 2: FloatList}}}}.
"""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import numpy as np

from interactive_dl.errors import UnreadableSourceError

Feature = bytes | np.ndarray
_GZIP_MAGIC = b"\x1f\x8b"
_HEADER = struct.Struct("<QI")
_CRC_BYTES = 4
_VARINT, _FIXED_64, _DELIMITED, _FIXED_32 = 0, 1, 2, 5
_BYTES_LIST, _FLOAT_LIST = 1, 2


class Position(NamedTuple):
    """Where a message lies in its file, in bytes."""

    offset: int
    length: int


def write(path: Path, examples: Iterable[Mapping[str, Feature]]) -> None:
    """Write messages, each given by its features: bytes, or float32 of shape (n,)."""
    with path.open("wb") as file:
        for example in examples:
            message = encode(example)
            length = struct.pack("<Q", len(message))
            file.write(length + _masked(length) + message + _masked(message))


def positions(path: Path) -> list[Position]:
    """Where the messages of a file that is not compressed are; only their lengths are read.

    Raises:
        UnreadableSourceError: the file does not end with a whole record.
    """
    size = path.stat().st_size
    found: list[Position] = []
    end = 0
    with path.open("rb") as file:
        while end < size:
            file.seek(end)
            header = file.read(_HEADER.size)
            length = _HEADER.unpack(header)[0] if len(header) == _HEADER.size else size
            found.append(Position(end + _HEADER.size, length))
            end += _HEADER.size + length + _CRC_BYTES
    if end != size:
        raise UnreadableSourceError(
            f"A TFRecord file must end with a whole record, but {path} ends within number"
            f" {len(found)}. It may not have been written to the end: copy or generate it again."
        )
    return found


def read(path: Path, position: Position | None = None) -> dict[str, Feature]:
    """The features of a message; lists of floats are float32, shape (n,).

    Args:
        path: of the file, which may be compressed as a whole (gzip).
        position: where the message is; None: the first one.
    """
    with _opened(path) as file:
        if position is None:
            position = Position(_HEADER.size, _HEADER.unpack(file.read(_HEADER.size))[0])
        file.seek(position.offset)
        return decode(file.read(position.length))


def is_compressed(path: Path) -> bool:
    """Whether the whole file is gzip."""
    with path.open("rb") as file:
        return file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC


def _opened(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path)) if is_compressed(path) else path.open("rb")


def encode(example: Mapping[str, Feature]) -> bytes:
    """The message of some features: bytes, or float32 of shape (n,)."""
    entries = (
        _delimited(1, _delimited(1, name.encode()) + _delimited(2, _feature(value)))
        for name, value in example.items()
    )
    return _delimited(1, b"".join(entries))


def _feature(value: Feature) -> bytes:
    if isinstance(value, bytes):
        return _delimited(_BYTES_LIST, _delimited(1, value))
    return _delimited(_FLOAT_LIST, _delimited(1, value.astype("<f4").tobytes()))


def decode(message: bytes) -> dict[str, Feature]:
    """The features of a message: the first value of lists of bytes; all of lists of floats."""
    features = {}
    for _, group in _fields(memoryview(message)):
        for _, entry in _fields(group):
            parts = dict(_fields(entry))
            ((kind, values),) = _fields(parts[2])
            ((_, value), *_) = _fields(values)
            features[bytes(parts[1]).decode()] = (
                bytes(value) if kind == _BYTES_LIST else np.frombuffer(value, "<f4")
            )
    return features


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Number and content of the fields that have a length; others are passed over."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, kind = key >> 3, key & 7
        if kind == _DELIMITED:
            length, at = _varint(message, at)
            yield number, message[at : at + length]
            at += length
        elif kind == _VARINT:
            _, at = _varint(message, at)
        else:
            at += {_FIXED_64: 8, _FIXED_32: 4}[kind]


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """A number written in groups of 7 bits, lowest first, and where it ends."""
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def _delimited(number: int, content: bytes) -> bytes:
    return _as_varint(number << 3 | _DELIMITED) + _as_varint(len(content)) + content


def _as_varint(value: int) -> bytes:
    groups = []
    while value >= 0x80:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])


def _masked(content: bytes) -> bytes:
    crc = crc32c(content)
    rotated = (crc >> 15 | crc << 17) + 0xA282EAD8
    return struct.pack("<I", rotated & 0xFFFFFFFF)


def crc32c(content: bytes) -> int:
    """Castagnoli's cyclic redundancy check (RFC 3720, appendix B.4) of at least 4 bytes.

    The content is cut into lanes that NumPy goes through side by side: the check is linear over
    GF(2), so that lanes are joined by what their length in zero bytes does to each of 32 bits.
    """
    message = np.frombuffer(content, np.uint8).copy()
    message[:4] ^= 0xFF
    lanes = 1 << (len(message).bit_length() // 2)
    columns = -(-len(message) // lanes)
    rows = np.zeros((lanes + 32, columns), np.uint8)
    rows[:lanes].reshape(-1)[lanes * columns - len(message) :] = message
    state = np.concatenate([np.zeros(lanes, np.uint32), _BITS])
    for column in np.ascontiguousarray(rows.T):
        state = _CRC_TABLE[(state ^ column) & 0xFF] ^ (state >> 8)
    state, shift = state[:lanes], state[lanes:]
    while len(state) > 1:
        state = _shifted(state[0::2], shift) ^ state[1::2]
        shift = _shifted(shift, shift)
    return int(state[0]) ^ 0xFFFFFFFF


def _shifted(states: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """States after zero bytes; ``shift`` says what these do to each bit, uint32, shape (32,)."""
    is_set = (states[:, np.newaxis] & _BITS) != 0
    return np.bitwise_xor.reduce(np.where(is_set, shift, np.uint32(0)), axis=1)


def _crc_table() -> np.ndarray:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, table >> 1 ^ 0x82F63B78, table >> 1).astype(np.uint32)
    return table


_BITS = np.uint32(1) << np.arange(32, dtype=np.uint32)
_CRC_TABLE = _crc_table()
