"""What a caller says of hosts, and what is made of it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

import interactive_dl as idl
from interactive_dl.cluster.ssh.request import parse_hostfile, request_of
from interactive_dl.errors import RequestError


def test_each_host_has_its_own_number_of_engines_or_the_common_one() -> None:
    request = request_of({"hosts": ["n1", "n2:4"], "engines_per_host": 2})
    assert request.slots == {"n1": 2, "n2": 4}
    assert request.engines == 6


def test_a_complete_request_is_taken_again_as_it_is() -> None:
    request = request_of({"hosts": ["n1", "n2:4"], "engines_per_host": 2})
    assert request.hosts == ("n1:2", "n2:4")
    assert request_of(asdict(request)) == request


def test_a_hostfile_is_read_as_mpiexec_reads_it(tmp_path: Path) -> None:
    lines = ["# all of them", "", "n1", "  n2 slots=4  # big", "n3:2", "n4 slots = 3 max_slots=8"]
    assert parse_hostfile(lines) == ("n1", "n2:4", "n3:2", "n4:3")
    file = tmp_path / "hosts"
    file.write_text("n1\nn2 slots=2\n")
    assert request_of({"hosts": str(file)}).slots == {"n1": 1, "n2": 2}


def test_a_hostfile_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="none cannot be read: No such file"):
        request_of({"hosts": str(tmp_path / "none")})


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "but got none"),
        ({"hosts": []}, "but got none"),
        ({"hosts": ["n1", "n2", "n1:2"]}, "got n1 more than once"),
        ({"hosts": ["n1"], "nodes": 2}, r"got nodes\. Valid are .*engines_per_host=1"),
        ({"hosts": ["-oProxyCommand=evil"]}, "hosts="),
        ({"hosts": ["me@n1"]}, "hosts="),
        ({"hosts": ["n1:0"]}, "hosts="),
        ({"hosts": ["n1"], "engines_per_host": 0}, "engines_per_host=0"),
        ({"hosts": ["n1"], "setup": ["a\nb"]}, "setup="),
        ({"hosts": ["n1"], "ssh_options": ["-o A b"]}, "ssh_options="),
    ],
)
def test_what_makes_no_sense_is_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(RequestError, match=says):
        request_of(given)


def test_a_cluster_is_told_hosts_and_no_number_of_engines() -> None:
    assert idl.Cluster("ssh", hosts=["n1:2", "n2"]).size == 3
    with pytest.raises(RequestError, match="engines_per_host=2"):
        idl.Cluster("ssh", engines=4, hosts=["n1"])


def test_hosts_are_neither_renewed_nor_asked_by_a_job_script() -> None:
    cluster = idl.Cluster("ssh", hosts=["n1"])
    with pytest.raises(RequestError, match="no job script"):
        cluster.job_script()
