"""The three floors: app/ and training/ stand on models/ and never see each other."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ALLOWED_IN_MODELS = {"torch", "numpy", "PIL", "safetensors", "models"}


def _imports(folder: str) -> dict[str, set[str]]:
    """File → top-level names of what it imports, at any depth of the code."""
    found = {}
    for path in sorted((ROOT / folder).rglob("*.py")):
        names: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: relative import"
                names.add((node.module or "").partition(".")[0])
        found[str(path.relative_to(ROOT))] = names
    assert found
    return found


def test_models_stands_on_five_libraries_alone() -> None:
    """models/ imports the standard library, torch, numpy, Pillow and safetensors, nothing else."""
    allowed = ALLOWED_IN_MODELS | set(sys.stdlib_module_names)
    strangers = {file: names - allowed for file, names in _imports("models").items() if names - allowed}
    assert not strangers


@pytest.mark.parametrize(
    ("folder", "forbidden"),
    [
        ("app", {"training", "torchvision", "matplotlib", "typer", "rich", "httpx"}),
        ("training", {"app", "fastapi", "uvicorn"}),
    ],
)
def test_service_and_trainer_never_import_each_other(folder: str, forbidden: set[str]) -> None:
    """A file passes between them, never a Python object."""
    strangers = {file: names & forbidden for file, names in _imports(folder).items() if names & forbidden}
    assert not strangers


def test_models_reads_no_environment_and_prints_nothing() -> None:
    """models/ knows no environment variable, no command line and no print."""
    for path in (ROOT / "models").rglob("*.py"):
        text = path.read_text()
        assert not {"environ", "getenv", "argv", "print"} & {
            node.attr if isinstance(node, ast.Attribute) else node.id
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Attribute | ast.Name)
        }, path


def _fresh(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return done.stdout


def test_importing_the_service_loads_no_trainer_and_touches_nothing() -> None:
    """After `import app.main` there is no training, torchvision or matplotlib, no thread and no CUDA probe."""
    out = _fresh(
        "import sys, threading, app.main, torch\n"
        "loaded = {m.partition('.')[0] for m in sys.modules}\n"
        "print(sorted(loaded & {'training', 'torchvision', 'matplotlib', 'typer'}))\n"
        "print(threading.active_count(), torch.cuda.is_initialized())"
    )
    assert out.splitlines() == ["[]", "1 False"]


def test_importing_the_command_line_loads_no_plotting() -> None:
    """`python -m training --help` waits for neither matplotlib nor torchvision."""
    out = _fresh(
        "import sys, training.cli\n"
        "print(sorted({m.partition('.')[0] for m in sys.modules} & {'matplotlib', 'torchvision'}))"
    )
    assert out.strip() == "[]"
