"""What may be asked of Slurm."""

from __future__ import annotations

from typing import Any

import pytest

from interactive_dl.cluster.slurm.request import Request, request_of
from interactive_dl.errors import RequestError


def test_what_is_not_given_has_defaults() -> None:
    asked = request_of({"nodes": 3, "engines_per_node": 4})
    assert asked == Request(nodes=3, engines_per_node=4)
    assert asked.engines == 12


def test_an_unknown_option_is_answered_with_the_valid_ones() -> None:
    with pytest.raises(RequestError, match=r"got nodse, tiem\. Valid .* nodes=1, .*interface=None"):
        request_of({"nodse": 2, "tiem": 3})


@pytest.mark.parametrize(
    "given",
    [
        {"nodes": 0},
        {"nodes": "2"},
        {"mem_gb": -1},
        {"gpus_per_engine": -1},
        {"walltime_min": 0},
        {"partition": "a b"},
        {"account": "a\n#SBATCH --uid=0"},
        {"setup": "module load cuda"},
        {"setup": ["a\nb"]},
        {"extra_directives": ["exclusive"]},
        {"extra_directives": ["--a\n--b"]},
    ],
)
def test_a_value_that_makes_no_sense_is_told_by_its_name(given: dict[str, Any]) -> None:
    (name,) = given
    with pytest.raises(RequestError, match=f"got {name}="):
        request_of(given)


def test_lists_become_tuples_and_whole_numbers_gigabytes() -> None:
    asked = request_of({"setup": ["module load a", "module load b"], "mem_gb": 16})
    assert asked.setup == ("module load a", "module load b")
    assert asked.mem_gb == 16.0


def test_a_warning_comes_after_the_beginning() -> None:
    with pytest.raises(RequestError, match=r"walltime_min=5, warn_min=5\. Leave warn_min out"):
        request_of({"walltime_min": 5, "warn_min": 5})


@pytest.mark.parametrize("words", ["--array=1-3", "-a 1-3"])
def test_an_array_of_jobs_is_refused(words: str) -> None:
    with pytest.raises(RequestError, match="not in an array of jobs, but got '-"):
        request_of({"extra_directives": [words]})
    assert request_of({"extra_directives": ["--account=a"]}).extra_directives
