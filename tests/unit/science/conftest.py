"""Events and arrays that the tests of the seed cases share."""

from typing import NamedTuple

import pytest

from interactive_dl.science import rpv
from interactive_dl.science.splits import SPLIT_START


class Splits(NamedTuple):
    train: rpv.Events
    test: rpv.Events


@pytest.fixture(scope="session")
def jets() -> Splits:
    """The laptop's events (hard to tell apart), generated once for all tests."""
    return Splits(
        train=rpv.generate(rpv.LAPTOP.train, size=rpv.LAPTOP.size),
        test=rpv.generate(rpv.LAPTOP.test, size=rpv.LAPTOP.size, start=SPLIT_START["test"]),
    )
