"""What the text of the Dockerfile promises; nothing here needs docker."""

import ast
import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from app.settings import PREFIX, Settings, read_settings

ROOT = Path(__file__).parents[2]


class Instruction(NamedTuple):
    """One instruction: its keyword in capitals, and the rest of its line."""

    keyword: str
    rest: str


Stage = list[Instruction]


@pytest.fixture
def text() -> str:
    """The Dockerfile as it is written."""
    return (ROOT / "Dockerfile").read_text()


@pytest.fixture
def stages(text: str) -> list[Stage]:
    """The instructions of each stage, each starting with its FROM; what comes before is the first element."""
    lines = "".join(line for line in text.splitlines(keepends=True) if not line.lstrip().startswith("#"))
    stages: list[Stage] = [[]]
    for line in lines.replace("\\\n", " ").splitlines():
        if line.strip():
            keyword, rest = line.split(maxsplit=1)
            if keyword.upper() == "FROM":
                stages.append([])
            stages[-1].append(Instruction(keyword.upper(), rest.strip()))
    return stages


@pytest.fixture
def build(stages: list[Stage]) -> Stage:
    """The stage that installs."""
    return stages[1]


@pytest.fixture
def final(stages: list[Stage]) -> Stage:
    """The stage that becomes the image."""
    return stages[-1]


@pytest.fixture
def environment(final: Stage) -> dict[str, str]:
    """The variables that the image sets."""
    words = [word for rest in _all(final, "ENV") for word in shlex.split(rest)]
    return dict(word.split("=", 1) for word in words)


@pytest.fixture
def project() -> dict[str, Any]:
    """The whole pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def _all(stage: Stage, keyword: str) -> list[str]:
    return [instruction.rest for instruction in stage if instruction.keyword == keyword]


def _position(stage: Stage, keyword: str, part: str) -> int:
    return next(i for i, (word, rest) in enumerate(stage) if word == keyword and part in rest)


def test_both_stages_start_from_the_base_argument(stages: list[Stage]) -> None:
    """One build argument chooses the base image of both stages."""
    assert stages[0] == [Instruction("ARG", "BASE=python:3.14-slim")]
    assert [stage[0].rest for stage in stages[1:]] == ["${BASE} AS build", "${BASE}"]


def test_dependencies_come_before_code(build: Stage) -> None:
    """A change of code does not install torch again: only what names them is there when they are installed."""
    installed = _position(build, "RUN", "--requirement requirements.txt")

    assert [rest for word, rest in build[:installed] if word == "COPY"] == ["pyproject.toml constraints.txt ./"]
    assert _position(build, "COPY", "models") > installed
    assert _position(build, "COPY", "app") > installed


def test_requirements_are_those_of_the_project(build: Stage, project: dict[str, Any]) -> None:
    """Those of pyproject.toml with OpenVINO, and nothing that only training or tests need."""
    command, _ = _all(build, "RUN")[1].split(" > requirements.txt")
    _python, option, code = shlex.split(command)

    printed = subprocess.run(
        [sys.executable, "-I", "-S", option, code], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout

    wanted = [*project["project"]["dependencies"], *project["project"]["optional-dependencies"]["openvino"]]
    assert printed.splitlines() == wanted
    assert not {"torchvision", "httpx"} & {re.split(r"[^\w-]", line)[0] for line in wanted}


def test_versions_are_those_that_were_tested(build: Stage) -> None:
    """The image gets the versions that the tests passed with."""
    install = build[_position(build, "RUN", "--requirement requirements.txt")].rest

    assert "pip install --no-cache-dir --constraint constraints.txt " in install


def test_project_is_installed_after_its_code(build: Stage) -> None:
    """The project itself is installed, so that its version is known, and brings no dependency of its own."""
    install = _position(build, "RUN", "--no-deps")

    assert install > _position(build, "COPY", "app")
    assert shlex.split(build[install].rest)[:2] == ["pip", "install"]


def test_nothing_but_the_service_is_copied(build: Stage, final: Stage) -> None:
    """The image gets the environment and the installed service, and the build sees neither training nor tests."""
    assert _copied(build) == {"pyproject.toml", "constraints.txt", "README.md", "LICENSE", "models", "app"}
    assert _all(final, "COPY") == [
        "--from=build /opt/venv /opt/venv",
        "--from=build /srv/glimpse /srv/glimpse",
    ]
    assert _all(final, "WORKDIR") == ["/srv/glimpse"]


def test_context_is_what_is_copied(build: Stage) -> None:
    """The .dockerignore shuts out everything, then lets in what the Dockerfile copies and nothing else."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]

    assert patterns[0] == "*"
    let_in = {pattern.removeprefix("!") for pattern in patterns if pattern.startswith("!")}
    assert let_in == _copied(build) | {"models/checkpoints/*.safetensors"}


def test_data_files_are_installed(project: dict[str, Any]) -> None:
    """Every file of the service that is not Python is declared as package data, or the image would lack it."""
    package_data = project["tool"]["setuptools"]["package-data"]
    declared = {
        path
        for package, patterns in package_data.items()
        for pattern in patterns
        for path in (ROOT / package.replace(".", "/")).glob(pattern)
    }

    assert {path for path in _service_files() if path.suffix != ".py"} <= declared


def test_user_is_a_number_and_not_root(final: Stage) -> None:
    """The process is no root, and a cluster can see that without reading /etc/passwd."""
    (user,) = _all(final, "USER")

    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)


def test_service_is_the_first_process(final: Stage) -> None:
    """The command is no shell's, so that SIGTERM reaches Python."""
    (command,) = _all(final, "CMD")

    assert json.loads(command) == ["python", "-m", "app"]
    assert _all(final, "STOPSIGNAL") == ["SIGTERM"]
    assert _all(final, "ENTRYPOINT") == []


def test_health_is_asked_for(final: Stage) -> None:
    """The health check asks whether it lives, on the port that is set, and any answer but 200 is unhealthy.

    Orchestrators replace what is unhealthy: what is busy, or drains, is not.
    """
    (check,) = _all(final, "HEALTHCHECK")
    python, option, code = shlex.split(check.partition(" CMD ")[2])

    assert (python, option) == ("python", "-c")
    ast.parse(code)
    assert f"'http://127.0.0.1:${{{PREFIX}PORT:-{Settings().port}}}/health/live'" in code
    assert "sys.exit(" in code
    assert ".status != 200)" in code


def test_exposed_port_is_the_default(final: Stage) -> None:
    """The port that the image names is the one that the service takes by default."""
    assert _all(final, "EXPOSE") == [str(Settings().port)]


def test_settings_are_known(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each GLIMPSE_* variable is a setting, since the service refuses to start with any other."""
    given = {name: value for name, value in environment.items() if name.startswith(PREFIX)}

    for name, value in given.items():
        monkeypatch.setenv(name, value)

    assert read_settings([]).host == "0.0.0.0"  # noqa: S104 - a container is reached from outside


def test_gpu_is_asked_for(environment: dict[str, str]) -> None:
    """`docker run --gpus all` hands in every GPU with what PyTorch needs of the driver."""
    assert environment["NVIDIA_VISIBLE_DEVICES"] == "all"
    assert environment["NVIDIA_DRIVER_CAPABILITIES"] == "compute,utility"


def test_python_is_told_that_it_is_in_a_container(environment: dict[str, str]) -> None:
    """Python comes from the environment, logs without delay, and tries to write no bytecode."""
    assert environment["PATH"].startswith("/opt/venv/bin:")
    assert environment["PYTHONUNBUFFERED"] == "1"
    assert environment["PYTHONDONTWRITEBYTECODE"] == "1"


def test_any_builder_will_do(text: str, stages: list[Stage]) -> None:
    """Nothing needs BuildKit: no frontend line, no heredoc, no option that only BuildKit knows."""
    assert not re.match(r"#\s*(?:syntax|check)\s*=", text)
    for keyword, rest in (instruction for stage in stages for instruction in stage):
        assert "<<" not in rest
        if keyword != "HEALTHCHECK":
            assert re.findall(r"^--\w+|(?<=\s)--(?:mount|link|chmod|network)\b", rest) in ([], ["--from"])


def test_network_is_the_package_index_alone(text: str, stages: list[Stage]) -> None:
    """The build fetches from pip's index, whichever the builder configured, and from nowhere else."""
    runs = " ".join(rest for stage in stages for rest in _all(stage, "RUN"))

    assert not re.search(r"\b(?:apt|apt-get|curl|wget|git|index-url|trusted-host|find-links)\b", runs)
    assert [rest for stage in stages for rest in _all(stage, "ADD")] == []
    assert set(re.findall(r"https?://[^:/\s]+", text)) == {"http://127.0.0.1"}


def _copied(stage: Stage) -> set[str]:
    """What a stage copies from the context."""
    return {source for rest in _all(stage, "COPY") if "--from" not in rest for source in rest.split()[:-1]}


def _service_files() -> list[Path]:
    files = (path for package in ("app", "models") for path in (ROOT / package).rglob("*") if path.is_file())
    return [path for path in files if "__pycache__" not in path.parts]
