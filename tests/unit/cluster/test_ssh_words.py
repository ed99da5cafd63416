"""Texts of the provider for hosts: scripts, command lines, and what failures mean."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from interactive_dl.cluster._description import Options
from interactive_dl.cluster._places import Places
from interactive_dl.cluster.examination import _sight
from interactive_dl.cluster.examination._sight import Sight, Target, has_mark
from interactive_dl.cluster.ssh import _connection, each
from interactive_dl.cluster.ssh._allocation import SSHAllocation, daemon_variables
from interactive_dl.cluster.ssh._connection import (
    Problem,
    address_towards,
    explained,
    ssh_words,
)
from interactive_dl.cluster.ssh._looking import _script, ask_all, found_wrong
from interactive_dl.cluster.ssh._script import NO_FOLDER, NO_INTERPRETER, host_script
from interactive_dl.cluster.ssh.host import TOKEN, look_command
from interactive_dl.cluster.ssh.host.__main__ import main
from interactive_dl.cluster.ssh.request import request_of
from interactive_dl.errors import RequestError


def _run(here: Path, **changes: Any) -> subprocess.CompletedProcess[str]:
    given: dict[str, Any] = {
        "setup": ["FROM_SETUP=yes"],
        "folder": here,
        "interpreter": Path(sys.executable),
        "environment": {"WORDS": "it's $HOME"},
        **changes,
    }
    words = ["bash", "-s", "--", "sh", "-c", 'echo "$WORDS|$PWD|${PATH%%:*}"; umask']
    return subprocess.run(
        words, input=host_script(**given), capture_output=True, text=True, check=False
    )


def test_a_hosts_script_prepares_what_it_becomes(tmp_path: Path) -> None:
    done = _run(tmp_path)
    told, mask = done.stdout.split("\n")[:2]
    assert told == f"it's $HOME|{tmp_path}|{Path(sys.executable).parent}"
    assert mask == "0077"


def test_set_up_lines_run_first_and_may_end_it(tmp_path: Path) -> None:
    assert _run(tmp_path, setup=["exit 7"], folder=tmp_path / "none").returncode == 7
    done = _run(tmp_path, setup=["export WORDS=x", "export MORE=y"], last='echo "$WORDS $MORE"')
    assert done.stdout == "it's $HOME y\n"


def test_what_a_host_lacks_has_a_code_of_its_own(tmp_path: Path) -> None:
    assert _run(tmp_path, folder=tmp_path / "none").returncode == NO_FOLDER
    assert _run(tmp_path, interpreter=tmp_path / "python").returncode == NO_INTERPRETER


@pytest.mark.parametrize(
    ("code", "said", "told"),
    [
        (255, "me@n2: Permission denied (publickey).", "denied (publickey). Type: ssh-copy-id n2;"),
        (255, "Host key verification failed.", "failed. Type: ssh n2 once, in a terminal"),
        (255, "@@@\nREMOTE HOST IDENTIFICATION HAS CHANGED!\n@@@", "Type: ssh-keygen -R n2"),
        (255, "ssh: Could not resolve hostname n2: Name unknown", "Type: ssh -v n2, and look"),
        (255, "connect to host n2 port 22: No route to host", "No route to host. Type: ssh -v n2"),
        (255, "", "ssh says: nothing"),
        (NO_INTERPRETER, "", "it has no /env/bin/python: hosts share"),
        (NO_FOLDER, "bash: cd: /work: No such file", "it has no /work, in which the engines"),
        (7, "no such module", "exit code 7: no such module. Type: ssh n2, and look at the lines"),
    ],
)
def test_a_failure_is_told_in_its_own_words_with_what_to_type(
    code: int, said: str, told: str
) -> None:
    assert told in str(explained("n2", code, said, "/env/bin/python", "/work"))


def test_changed_keys_are_not_taken_for_unknown_ones() -> None:
    filler = "\nIt is also possible that a host key has just been changed." * 10
    said = f"REMOTE HOST IDENTIFICATION HAS CHANGED!{filler}\nHost key verification failed."
    assert "ssh-keygen -R n2" in explained("n2", 255, said, "p", "f").fix


def test_ssh_never_asks_whatever_the_options_say() -> None:
    shown = subprocess.run(
        [*ssh_words(["-o", "BatchMode=no", "-p", "2222"]), "-F", "/dev/null", "-G", "n1"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert {"batchmode yes", "port 2222", "forwardx11 no"} <= set(shown.stdout.splitlines())


def test_mpi_logs_in_as_we_do_and_from_this_host_only() -> None:
    variables = daemon_variables(["-p", "2222"], Path("/f/host.sh"))
    assert variables["PRTE_MCA_plm_ssh_agent"] == " ".join(ssh_words(["-p", "2222"]))
    assert variables["PRTE_MCA_prte_launch_agent"] == "bash /f/host.sh prted"
    assert variables["PRTE_MCA_plm_ssh_no_tree_spawn"] == "1"


@pytest.mark.parametrize(
    ("hosts", "address"),
    [
        (("here", "far"), "10.0.0.1"),
        (("hidden", "far"), "10.0.0.1"),
        (("here",), "127.0.0.1"),
        (("hidden",), "127.0.0.1"),
    ],
)
def test_the_address_is_that_which_leads_to_another_host(
    hosts: tuple[str, ...], address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "config"
    file.write_text("Host here\n HostName me\nHost far\n HostName far.net\n")
    ours = {"me": "127.0.0.1", "far.net": "10.0.0.1", "hidden": ""}
    monkeypatch.setattr(_connection, "_towards", ours.__getitem__)
    assert address_towards(hosts, ("-F", str(file))) == address


def test_engines_without_mpi_are_started_host_by_host() -> None:
    engine = ["python", "-m", "engine", "--world", "4,5,6"]
    found = each.commands("n1:1,n2:2", "/f/host.sh", ["-p", "2222"], engine)
    assert [words[-3:-1] for words in found] == [["-n", "n1"], ["-n", "n2"], ["-n", "n2"]]
    assert [words[-1].partition("--world ")[2] for words in found] == [
        "4,5,6 --id 4",
        "4,5,6 --id 5",
        "4,5,6 --id 6",
    ]
    assert all(words[-1].startswith("bash /f/host.sh python -m engine") for words in found)


def test_a_path_that_mpi_would_split_is_refused(tmp_path: Path) -> None:
    options = Options(where="ssh", request={"hosts": ["n1"]})
    with pytest.raises(RequestError, match="no spaces, but got .*a b.*IPYTHONDIR"):
        SSHAllocation(Places("x", tmp_path / "a b"), options).check()


def test_an_engine_without_mpi_that_ends_does_not_end_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = tmp_path / "late"
    ends = [["sh", "-c", "exit 3"], ["sh", "-c", f"sleep 0.2; touch {late}; exit 4"], ["true"]]
    monkeypatch.setattr(each, "commands", lambda *_: ends)
    words = ["-n", "3", "--host", "n1:3", "--script", "/f/host.sh", "--", "engine"]
    assert each.main(words) == 3
    assert late.exists()


def test_no_command_line_shows_the_word_that_a_looker_must_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = look_command("look", tmp_path / "mark", "127.0.0.1", 9)
    script = _script(request_of({"hosts": ["n1"]}), words, {TOKEN: "secret"})
    assert script.count("secret") == 1
    assert f"export {TOKEN}=secret" in script
    (tmp_path / "mark").write_text("secret")
    monkeypatch.setenv(TOKEN, "secret")
    monkeypatch.setattr(_sight, "_CALL_S", 0.05)
    main(words[3:])
    assert '"has_mark":true' in capsys.readouterr().out


def test_hosts_are_asked_for_what_no_command_line_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ssh = tmp_path / "ssh"
    ssh.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/words\nexec bash -s\n')
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    seen = ask_all(request_of({"hosts": ["n1", "n2"]}), "127.0.0.1", tmp_path)
    assert list(found_wrong(seen, "127.0.0.1", tmp_path)) == ["n2"]
    assert isinstance(seen["n1"], Sight)
    assert (seen["n1"].has_mark, seen["n1"].unreached) == (True, "")
    told = (tmp_path / "words").read_text().splitlines()
    assert sorted(line.split()[-3] for line in told) == ["n1", "n2"]
    assert all(line.endswith(" bash -s") for line in told)


def test_a_folder_of_the_same_name_on_another_disk_is_not_the_shared_one(tmp_path: Path) -> None:
    target = Target(tmp_path / "mark", "127.0.0.1", 9, "secret")
    assert not has_mark(target)
    target.mark.write_text("another")
    assert not has_mark(target)


def _sees(machine: str = "n1 b", *, has_mark: bool = True, unreached: str = "") -> Sight:
    return Sight(machine=machine, cores=4, has_mark=has_mark, unreached=unreached)


def test_fit_hosts_have_nothing_wrong() -> None:
    seen = {"n1": _sees("n1 b"), "n2": _sees("n2 b")}
    assert found_wrong(seen, "10.0.0.1", Path("/i")) == {}


@pytest.mark.parametrize(
    ("sight", "told"),
    [
        (Problem("ssh says: no", "this"), "ssh says: no. Type: this"),
        (_sees(unreached="no reply"), "does not reach this host at 10.0.0.1 (no reply)"),
        (_sees(has_mark=False), "does not see /i: keys"),
        (_sees("n1 b"), "the same host as n1, and is named once"),
    ],
)
def test_what_is_wrong_with_a_host_is_told(sight: Sight | Problem, told: str) -> None:
    found = found_wrong({"n1": _sees("n1 b"), "n2": sight}, "10.0.0.1", Path("/i"))
    assert list(found) == ["n2"]
    assert told in str(found["n2"])
