"""The README is a tested document: its commands, its answer and its table are true."""

import json
import re
import shlex
from pathlib import Path
from urllib.parse import parse_qsl

import pytest
from fastapi.testclient import TestClient

from app.main import create_app
from app.settings import PREFIX, Settings
from app.tensors.catalogue import DEMOS, read_values
from app.tensors.terminal import main as show
from models.checkpoint import CHECKPOINTS
from training.cli import run

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)


COMMANDS = [line for block in _blocks("sh") for line in block.splitlines() if line.strip()]


def test_there_are_commands() -> None:
    """The check below has something to check."""
    assert len(COMMANDS) >= 10


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_exists(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Targets of make are in the Makefile, options are known, files that are named are there."""
    words = shlex.split(command)
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:.*## ", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    elif words[0] == "curl":
        path, _, query = words[-1].removeprefix("http://127.0.0.1:8000").partition("?")
        sent = [word for word in words if "=@" in word]
        assert bool(sent) == path.startswith("/predict")
        assert all((ROOT / word.partition("=@")[2]).is_file() for word in sent)
        demo = path.removeprefix("/tensors/")
        if demo in DEMOS:
            read_values(demo, parse_qsl(query), ("cpu",))
        else:
            assert path in {"/predict", "/predict/batch", "/tensors", "/tensors/report"}
    elif words[:3] == [".venv/bin/python", "-m", "training"]:
        assert run([words[3], "--help"]) == 0
        known = capsys.readouterr().out
        assert not [word for word in words if word.startswith("--") and word not in known]
    elif words[:4] == [".venv/bin/python", "-m", "app", "tensors"]:
        assert show(words[4:]) == 0
        assert capsys.readouterr().out
    elif words[:3] == [".venv/bin/python", "-m", "app"]:
        options = {f"--{name.replace('_', '-')}" for name in Settings.model_fields}
        assert not [word for word in words if word.startswith("--") and word not in options]
    else:
        assert words[0] == "docker"
        assert words[1] in {"build", "run"}
        assert words[-1] in {"glimpse", "."}


def test_the_first_prediction_is_real() -> None:
    """The answer that the README shows is the answer of the shipped checkpoint, to three digits."""
    shown = json.loads(_blocks("json")[0])
    with TestClient(create_app(Settings(device="cpu"))) as client:
        data = (ROOT / "docs" / "ship.jpg").read_bytes()
        body = client.post("/predict?top_k=1", files={"file": data}).json()
    for item in shown["predictions"]:
        item["score"] = pytest.approx(item["score"], abs=5e-3)  # whatever the engine
    del shown["request_id"], body["request_id"]
    assert body == shown


def test_the_table_of_settings_is_complete() -> None:
    """One row per setting with its default and the words of --help, in order, and no other row."""
    section = README.split("## Settings")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(GLIMPSE_\w+)` \| `(.*?)` \| (.*) \|$", section, flags=re.MULTILINE)
    expected = []
    for name, field in Settings.model_fields.items():
        default = "none" if field.default is None else str(field.default)
        default = default.replace(f"{CHECKPOINTS.parents[1]}/", "")
        expected.append((PREFIX + name.upper(), default, field.description))
    assert rows == expected


@pytest.mark.parametrize(
    "document", ["README.md", "CONTRIBUTING.md", *sorted(p.name for p in (ROOT / "docs").glob("*.md"))]
)
def test_links_lead_somewhere(document: str) -> None:
    """Every relative link of a document names a file that is there."""
    path = ROOT / document if (ROOT / document).exists() else ROOT / "docs" / document
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text()):
        assert (path.parent / target).exists(), target
