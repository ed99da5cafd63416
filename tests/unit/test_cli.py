from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import interactive_dl
from interactive_dl import cli
from interactive_dl.cluster import Cluster, Summary
from interactive_dl.cluster._description import Description, Options
from interactive_dl.cluster._doctor import Report
from interactive_dl.cluster._doctor_checks import Check
from interactive_dl.cluster._places import Places


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[str]]:
    """Ids of clusters that were stopped; one named ``alpha`` has lost its controller."""
    ids: list[str] = []
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    places = Places("alpha", tmp_path)
    places.create()
    Description("alpha", "node1", Options(), 0.0).write(places.description)
    known = (Summary("alpha", "failed", 4, "node1", 0.0),)
    monkeypatch.setattr(Cluster, "list", classmethod(lambda cls: known))
    monkeypatch.setattr(Cluster, "stop", lambda self: ids.append(self.id))
    yield ids
    places.remove()


def diagnose(monkeypatch: pytest.MonkeyPatch, *checks: Check) -> None:
    monkeypatch.setattr(interactive_dl, "doctor", lambda: Report(checks), raising=False)


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"idl {interactive_dl.__version__}\n"


@pytest.mark.parametrize("words", [[], ["cluster"], ["fly"], ["cluster", "stop"]])
def test_an_incomplete_or_unknown_command_is_a_usage_error(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    assert ended.value.code == 2
    assert "usage: idl" in capsys.readouterr().err


def test_a_healthy_environment_ends_with_exit_code_0(monkeypatch: pytest.MonkeyPatch) -> None:
    diagnose(monkeypatch, Check("cores", True, "2"))
    assert cli.main(["doctor"]) == 0


def test_a_failed_check_ends_with_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    diagnose(monkeypatch, Check("GPUs", False, "none", "pulled out", "put in"))
    assert cli.main(["doctor", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["checks"][0]["fix"] == "put in"


@pytest.mark.parametrize(
    ("words", "request_"),
    [
        ([], ("slurm", {})),
        (["nodes=2"], ("slurm", {"nodes": 2})),
        (["slurm", "nodes=2"], ("slurm", {"nodes": 2})),
        (["ssh"], ("ssh", {})),
        (["ssh", "hosts=n1"], ("ssh", {"hosts": ["n1"]})),
        (
            ["ssh", "hosts=n1,n2:4", "interface=ib0"],
            ("ssh", {"hosts": ["n1", "n2:4"], "interface": "ib0"}),
        ),
        (["ssh", 'hosts=["n1"]'], ("ssh", {"hosts": ["n1"]})),
        (["ssh", "hosts=./hostfile"], ("ssh", {"hosts": "./hostfile"})),
    ],
)
def test_the_doctor_is_told_where_engines_would_run_and_what_is_asked(
    words: list[str], request_: tuple[str, object]
) -> None:
    assert (
        cli._request(cli.parser().parse_args(["doctor", "--cluster", *words]).cluster) == request_
    )


def test_options_of_a_request_are_words_numbers_or_lists() -> None:
    words = ["nodes=2", "partition=debug", "mem_gb=1.5", 'setup=["module load cuda"]', 'qos="long"']
    assert cli._options(words) == {
        "nodes": 2,
        "partition": "debug",
        "mem_gb": 1.5,
        "setup": ["module load cuda"],
        "qos": "long",
    }


def test_clusters_are_listed_one_a_line(
    stopped: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["cluster", "list"]) == 0
    assert capsys.readouterr().out == "alpha  failed  4 engines  node1\n"


def test_a_cluster_without_controller_can_be_stopped(stopped: list[str]) -> None:
    assert cli.main(["cluster", "stop", "alpha"]) == 0
    assert stopped == ["alpha"]


def test_an_unknown_id_is_answered_with_the_known_ones(
    stopped: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["cluster", "stop", "beta"]) == 1
    assert "There is no cluster 'beta'; there are alpha" in capsys.readouterr().err
    assert stopped == []


def test_a_script_runs_on_as_many_ranks_as_asked_for(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\n"
        "from mpi4py import MPI\n"
        "ranks = MPI.COMM_WORLD.gather(MPI.COMM_WORLD.rank)\n"
        "if ranks: print(ranks, sys.argv[1:])\n"
        "sys.exit(int(sys.argv[-1]))\n"
    )
    assert cli.main(["run", "-n", "3", str(script), "--epochs", "0"]) == 0
    assert "[0, 1, 2] ['--epochs', '0']" in capfd.readouterr().out
    assert cli.main(["run", "-n", "1", str(script), "5"]) == 5


def test_searches_of_an_empty_folder_are_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["searches", "--folder", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"Searches in {tmp_path}:\n  none\n"


def test_a_search_without_a_script_says_what_to_type(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["search", "--trials", "3"]) == 1
    assert "Type: idl search script.py, or" in capsys.readouterr().err


def test_the_seed_cases_are_listed_with_their_gates(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["science", "list"]) == 0
    assert "gate: accuracy >= 0.97" in capsys.readouterr().out


def test_a_size_that_a_case_has_not_is_one_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["science", "run", "rpv", "--size", "huge", "--engines", "2"]) == 1
    assert capsys.readouterr().err.count("rpv has the sizes laptop, full") == 1


def test_a_control_of_a_case_fails_its_gate_on_all_ranks(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["--control", "untrained", "--engines", "2", "--cache", str(tmp_path)]
    assert cli.main(["science", "run", "digits", *words]) == 0
    told = capfd.readouterr().out
    assert "digits, laptop, seed 0, untrained, 2 ranks: 85,066 parameters" in told
    assert told.count("gate: failed; accuracy >= 0.97 does not hold") == 1
