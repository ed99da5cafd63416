"""What could not be built or run here: its text holds together, and says so at its top."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml

_FOLDER = Path(__file__).resolve().parents[3] / "deploy" / "container"
_CONTAINERFILE = (_FOLDER / "Containerfile").read_text()
_APPTAINER = (_FOLDER / "interactive_dl.def").read_text()
_VALUES = (_FOLDER / "zero_to_jupyterhub.yaml").read_text()
_SCHEMA = json.loads((_FOLDER / "zero_to_jupyterhub.schema.json").read_text())


@pytest.mark.parametrize("text", [_CONTAINERFILE, _APPTAINER, _VALUES])
def test_the_first_line_says_that_it_was_not_tried(text: str) -> None:
    assert re.match(r"# NOT (BUILT|RUN): ", text)


def test_the_helm_values_are_such_as_the_chart_knows() -> None:
    jsonschema.Draft202012Validator.check_schema(_SCHEMA)
    jsonschema.validate(yaml.safe_load(_VALUES), _SCHEMA)


@pytest.mark.parametrize(
    ("right", "wrong"), [("defaultUrl:", "default_url:"), ("uid: 1000", "uid: someone")]
)
def test_helm_values_that_the_chart_does_not_know_are_refused(right: str, wrong: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(_VALUES.replace(right, wrong)), _SCHEMA)


def test_image_and_pod_agree_on_the_person_and_its_home() -> None:
    server = yaml.safe_load(_VALUES)["singleuser"]
    assert f"--uid {server['uid']} " in _CONTAINERFILE
    assert f"USER {server['uid']}\n" in _CONTAINERFILE
    assert f"WORKDIR {server['storage']['homeMountPath']}\n" in _CONTAINERFILE


def test_both_images_are_made_of_the_same_files_and_packages() -> None:
    root = _FOLDER.parents[1]
    copied = set(re.findall(r"^COPY (?!--from)(.+) \S+$", _CONTAINERFILE, re.MULTILINE))
    names = {name for line in copied for name in line.split()}
    assert names == set(re.findall(r"^    (\S+) /opt/\w+/\1$", _APPTAINER, re.MULTILINE))
    assert all((root / name).exists() for name in names)
    assert _packages(_CONTAINERFILE) == _packages(_APPTAINER)


def _packages(text: str) -> set[str]:
    installed = re.findall(r"--no-install-recommends ((?:[\w+-]+ ?|\\\n +)+)", text)
    return {name for found in installed for name in found.replace("\\", "").split()}
