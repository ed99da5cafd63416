"""Defaults of site and user."""

from __future__ import annotations

from pathlib import Path

import pytest

from interactive_dl import cli
from interactive_dl.cluster import Cluster
from interactive_dl.cluster.slurm import profile
from interactive_dl.errors import RequestError


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The site's and the user's profile, which are not there yet."""
    monkeypatch.setenv("IDL_SITE_PROFILE", str(tmp_path / "site.toml"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "interactive_dl").mkdir()
    return profile.files()


def test_a_call_is_over_the_user_and_the_user_over_the_site(paths: tuple[Path, Path]) -> None:
    site, user = paths
    site.write_text('[slurm]\npartition = "cpu"\naccount = "a"\nnodes = 8\n')
    user.write_text('[slurm]\naccount = "b"\nnodes = 4\n')
    script = Cluster("slurm", nodes=2).job_script()
    for line in ("--partition=cpu", "--account=b", "--nodes=2"):
        assert f"#SBATCH {line}\n" in script


def test_hosts_may_be_named_in_a_table_of_their_own(paths: tuple[Path, Path]) -> None:
    site, user = paths
    site.write_text('[slurm]\nnodes = 8\n[ssh]\nhosts = ["n1", "n2:4"]\nengines_per_host = 3\n')
    user.write_text("[ssh]\nengines_per_host = 2\n")
    assert Cluster("ssh").size == 6
    assert Cluster("ssh", hosts=["n1"]).size == 2
    user.write_text("[ssh]\nnodes = 2\n")
    with pytest.raises(RequestError, match="got nodes"):
        cli.parser().parse_args(["profile"]).run(None)


def test_idl_profile_says_where_each_option_comes_from(
    paths: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    site, user = paths
    assert cli.main(["profile"]) == 0
    assert f"Looked for: {site}, {user}" in capsys.readouterr().out
    site.write_text('[slurm]\npartition = "cpu"\nqos = "x"\n')
    user.write_text('[slurm]\nqos = "y"\n[ssh]\nhosts = ["n1"]\n')
    assert cli.main(["profile"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "[slurm]",
        f"partition = 'cpu'  ({site})",
        f"qos       = 'y'  ({user})",
        "[ssh]",
        f"hosts = ['n1']  ({user})",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("slurm = [", "is not:"),
        ("[slrum]\nnodes = 2", r"has slrum\."),
        ("[slurm]\nnodse = 2", "got nodse"),
        ('slurm = "gpu"', r"has slurm = 'gpu'\. Write \[slurm\]"),
    ],
)
def test_a_profile_that_makes_no_sense_is_refused(
    paths: tuple[Path, Path], text: str, words: str
) -> None:
    paths[0].write_text(text)
    with pytest.raises(RequestError, match=words):
        Cluster("slurm")
