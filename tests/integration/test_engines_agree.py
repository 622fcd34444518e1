"""OpenVINO answers what the reference answers: on golden, drawn and photographed pictures, in any batch."""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from app.engines import Engine, open_engine
from app.served_model import check_every_way
from models import golden
from models.checkpoint import CHECKPOINTS, Checkpoint, load, save
from models.networks import build
from models.preprocessing import Answers, Images, Probabilities
from tests.integration.test_shipped_checkpoints import CIFAR10, ROOT, needs_cifar10
from training.data import read_test

if TYPE_CHECKING:
    import openvino

pytestmark = pytest.mark.skipif(find_spec("openvino") is None, reason="OpenVINO is not here; pip install openvino")
SHIPPED = CHECKPOINTS / "cifar10.safetensors"
LARGEST = 8
CPUINFO = Path("/proc/cpuinfo")
FLAGS = (
    set(re.findall(r"^flags\s*: (.*)$", CPUINFO.read_text(), re.MULTILINE)[0].split())
    if CPUINFO.exists() and "flags\t" in CPUINFO.read_text()
    else set()
)
"""What Linux says that an x86 processor can do."""


@pytest.fixture(scope="module")
def loaded() -> Checkpoint:
    """What is served by default."""
    return load(SHIPPED)


@pytest.fixture(scope="module")
def compiled(loaded: Checkpoint) -> Engine:
    """OpenVINO, by its name."""
    return open_engine(loaded, engine="openvino", device="cpu", threads=1, max_batch_size=LARGEST)


@pytest.fixture(scope="module")
def reference(loaded: Checkpoint) -> Engine:
    """PyTorch in float32."""
    return open_engine(loaded, engine="torch", device="cpu", threads=1)


@pytest.fixture(scope="module")
def sharpened(loaded: Checkpoint, compiled: Engine) -> float:
    """By how much a probability may differ."""
    return loaded.golden_tolerance(compiled.tolerance)


def _probabilities(rows: Answers) -> Probabilities:
    """Without the distance behind them."""
    return rows[:, :10]


def answers(engine: Engine, images: Images, size: int) -> Answers:
    """Of all images, in batches of that size."""
    return np.concatenate([engine.answer(images[at : at + size]) for at in range(0, len(images), size)])


def test_the_golden_answers_are_right(loaded: Checkpoint, compiled: Engine) -> None:
    """Of a quantized network; between its bytes it computes in float32."""
    assert (compiled.name, compiled.device, compiled.max_batch_size) == ("openvino", "cpu", LARGEST)
    assert compiled.dtype in {"int8", "float32"}
    assert compiled.tolerance == golden.TOLERANCE[torch.float32]
    got = compiled.answer(loaded.golden_images)
    assert got.dtype == np.float32
    loaded.check_golden(got, tolerance=compiled.tolerance)


def test_all_that_is_compiled_is_checked(loaded: Checkpoint, compiled: Engine) -> None:
    """The networks of one thread, of several for a batch of one or two, and of the event loop."""
    assert compiled.checked_sizes == (1, 2, LARGEST)
    check_every_way(loaded, compiled)


@pytest.mark.parametrize("size", [1, 3, 7])
def test_a_picture_is_answered_alike_in_any_batch(
    loaded: Checkpoint, compiled: Engine, sharpened: float, size: int
) -> None:
    """Whoever rides along, the differences stay within the tolerance."""
    whole = _probabilities(compiled.answer(loaded.golden_images))
    got = _probabilities(answers(compiled, loaded.golden_images, size))
    assert np.abs(got - whole).max() <= sharpened


def test_the_event_loops_own_runs_answer_alike(loaded: Checkpoint, compiled: Engine) -> None:
    """One picture at a time, while lanes run theirs at the same moment."""
    run_aside = compiled.run_aside
    assert run_aside is not None
    with ThreadPoolExecutor(1) as lane:
        beside = lane.submit(answers, compiled, np.repeat(loaded.golden_images, 8, axis=0), LARGEST)
        got = np.concatenate([run_aside(image[None]) for image in loaded.golden_images])
        whole = beside.result(timeout=60)
    loaded.check_golden(got, tolerance=compiled.tolerance)
    for place in range(8):
        loaded.check_golden(whole[place::8], tolerance=compiled.tolerance)


class Request:
    """Stands for a compiled network whose runs take as long as the test says, on the test's own clock."""

    def __init__(self, clock: list[float], seconds: float) -> None:
        self.runs = 0
        self.seconds = seconds
        self._clock = clock

    def set_input_tensor(self, images: "openvino.Tensor") -> None:
        """Have an answer for each."""
        self.output_tensors = [SimpleNamespace(data=np.zeros((images.shape[0], 2), np.float32))]

    def infer(self, **_: bool) -> None:
        """Take that long."""
        self.runs += 1
        self._clock[0] += self.seconds


def test_a_small_batch_is_shared_only_while_that_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice as slow as alone: for a while nothing is shared, then it is tried again. Large ones never are."""
    from app.engines import openvino_cpu

    clock = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    alone, shared = Request(clock, 0.001), Request(clock, 0.0005)
    lane = openvino_cpu._Lane(alone, shared)
    small, large = np.zeros((2, 1, 1, 3), np.uint8), np.zeros((3, 1, 1, 3), np.uint8)
    for images in (small[:1], small, large):
        lane.warm_up(images)
    alone.runs = shared.runs = 0
    lane.run(small)
    lane.run(large)
    assert (shared.runs, alone.runs) == (1, 1)
    shared.seconds = 0.0021
    lane.run(small)  # somebody else is on the cores
    shared.seconds = 0.0005
    lane.run(small)
    assert (shared.runs, alone.runs) == (2, 2)
    clock[0] += 0.05
    lane.run(small)
    lane.run(small[:1])
    assert (shared.runs, alone.runs) == (4, 2)


@pytest.mark.parametrize("change", ["read-only", "every other row", "channels first"])
def test_images_may_lie_in_memory_as_they_like(loaded: Checkpoint, compiled: Engine, change: str) -> None:
    """OpenVINO reads them where they lie; what it cannot read there is copied."""
    images = loaded.golden_images[:4].copy()
    expected = compiled.answer(images)
    compiled.answer(loaded.golden_images[4:8])  # what is answered next is not what was answered last
    if change == "read-only":
        images.setflags(write=False)
    elif change == "every other row":
        images = np.repeat(images, 2, axis=0)[::2]
    else:
        images = np.ascontiguousarray(images.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(compiled.answer(images), expected)


def test_an_answer_stays_what_it_was(loaded: Checkpoint, compiled: Engine) -> None:
    """The next run writes into the same memory; who holds an answer must not see it change."""
    first = compiled.answer(loaded.golden_images[:4])
    before = first.copy()
    compiled.answer(loaded.golden_images[4:])
    assert np.array_equal(first, before)
    assert np.abs(_probabilities(first).sum(axis=1) - 1).max() < 1e-5


def test_drawn_pictures_get_the_same_label(compiled: Engine, reference: Engine, sharpened: float) -> None:
    """All whose two best scores are further apart than both may move."""
    images = golden.draw(32, 32, count=200)
    expected, got = (_probabilities(answers(engine, images, LARGEST)) for engine in (reference, compiled))
    second, best = np.sort(expected, axis=1)[:, -2:].T
    is_clear = best - second > 2 * sharpened
    assert is_clear.mean() > 0.7
    assert np.array_equal(got.argmax(1)[is_clear], expected.argmax(1)[is_clear])


@needs_cifar10
def test_test_pictures_get_the_same_label(
    loaded: Checkpoint, compiled: Engine, reference: Engine, tmp_path: Path
) -> None:
    """999 of the first 1,000 at least."""
    _, split = read_test(str(CIFAR10), loaded.record, cache=tmp_path, report=print)
    images = split.images[:1_000].numpy()
    expected, got = answers(reference, images, 100), answers(compiled, images, LARGEST)
    assert (_probabilities(got).argmax(1) == _probabilities(expected).argmax(1)).sum() >= 999


def test_a_network_that_is_not_quantized_runs_in_bfloat16(loaded: Checkpoint, tmp_path: Path) -> None:
    """Where the processor computes in it, else in float32: the shipped weights without their rounding."""
    rounded = loaded.record.architecture
    without = {name: value for name, value in rounded.arguments.items() if name != "input_ranges"}
    architecture = replace(rounded, arguments=without)
    network = build(architecture, classes=10, spec=loaded.record.input)
    network.load_state_dict(loaded.network.state_dict())
    path = tmp_path / "plain.safetensors"
    save(path, network, replace(loaded.record, architecture=architecture), distance=loaded.distance)
    plain = load(path)
    engine, exact = (
        open_engine(plain, engine=name, device="cpu", threads=1, max_batch_size=LARGEST)
        for name in ("openvino", "torch")
    )
    computes_in_it = bool({"avx512_bf16", "amx_bf16", "avx_ne_convert"} & FLAGS)
    if FLAGS:  # elsewhere than on Linux, or on another processor, there is nothing to compare with
        assert engine.dtype == ("bfloat16" if computes_in_it else "float32")
    assert engine.tolerance == golden.TOLERANCE[getattr(torch, engine.dtype)]
    plain.check_golden(engine.answer(plain.golden_images), tolerance=engine.tolerance)
    images = golden.draw(32, 32, count=200)
    expected, got = (_probabilities(answers(one, images, LARGEST)) for one in (exact, engine))
    second, best = np.sort(expected, axis=1)[:, -2:].T
    is_clear = best - second > 2 * engine.tolerance / plain.record.calibration.temperature
    assert is_clear.mean() > 0.7
    assert np.array_equal(got.argmax(1)[is_clear], expected.argmax(1)[is_clear])


def test_a_network_without_a_whitening_stem_stays_in_float32(checkpoint_path: Path) -> None:
    """Whatever the processor computes in: its pixels themselves would be rounded."""
    tutorial = load(checkpoint_path)
    assert open_engine(tutorial, engine="openvino", device="cpu", threads=1).dtype == "float32"


def test_it_is_chosen_on_a_cpu(checkpoint_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By itself on a CPU; by its name also where there is CUDA, for it runs on the CPU all the same."""
    tiny = load(checkpoint_path)
    chosen = open_engine(tiny, engine="auto", device="cpu", threads=1, max_batch_size=1)
    assert chosen.name == "openvino"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    chosen = open_engine(tiny, engine="openvino", device="auto", threads=1, max_batch_size=1)
    assert (chosen.name, chosen.device) == ("openvino", "cpu")


def test_a_signal_finds_its_way_after_an_engine_was_replaced(checkpoint_path: Path) -> None:
    """As in a reload: the old engine is closed before the new one. The handler runs, and the process lives."""
    code = (
        "import gc, os, signal\n"
        "from pathlib import Path\n"
        "from app.engines import open_engine\n"
        "from models.checkpoint import load\n"
        f"checkpoint = load(Path({str(checkpoint_path)!r}))\n"
        "given = dict(engine='openvino', device='cpu', threads=1, max_batch_size=1)\n"
        "engines = [open_engine(checkpoint, **given) for _ in range(2)]\n"
        "while engines:\n"
        "    del engines[0]\n"
        "    gc.collect()\n"
        "signal.signal(signal.SIGTERM, lambda *_: print('handled'))\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "handled\n")


def test_it_reports_to_nobody(checkpoint_path: Path, tmp_path: Path) -> None:
    """No file in the home folder, no thread that calls Google: its telemetry, on by default, is never loaded.

    And nothing of it is loaded at all before it is chosen.
    """
    home = tmp_path / "home"
    home.mkdir()
    code = (
        "import sys, threading\n"
        "from pathlib import Path\n"
        "from app.engines import open_engine\n"
        "from models.checkpoint import load\n"
        "print('openvino' in sys.modules)\n"
        f"checkpoint = load(Path({str(checkpoint_path)!r}))\n"
        "open_engine(checkpoint, engine='openvino', device='cpu', threads=1, max_batch_size=1)\n"
        "print(bool(sys.modules.get('openvino_telemetry')), threading.active_count())\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={"PATH": os.environ["PATH"], "HOME": str(home)},
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines() == ["False", "False 1"]
    assert list(home.iterdir()) == []
