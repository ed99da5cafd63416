"""What all tests share: journals of runs go to a folder of their own; examples take their time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

settings.register_profile("whatever else the machine does", deadline=None)
settings.load_profile("whatever else the machine does")


@pytest.fixture(scope="session", autouse=True)
def _runs_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IDL_RUNS", str(tmp_path_factory.mktemp("runs")))
        yield
