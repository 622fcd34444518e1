"""The engines of PyTorch, and the choice among all. OpenVINO's: tests/integration/test_engines_agree.py."""

import gc
import sys
import threading
import weakref
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch

from app.engines import Engine, open_engine, takes_cuda, torch_cuda
from app.engines.recovery import Recovery
from app.engines.torch_cpu import TorchEngine
from app.engines.torch_cuda import CudaEngine, batch_sizes, record_what_fits
from app.errors import DeviceError, EngineLostError, MissingEngineError
from app.served_model import check_every_way
from models import golden
from models.checkpoint import CHECKPOINTS, Checkpoint, load
from models.preprocessing import Answers, Images

without_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here; it cannot be missed")
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


@pytest.fixture
def loaded(checkpoint_path: Path) -> Checkpoint:
    """The tiny checkpoint."""
    return load(checkpoint_path)


@pytest.fixture
def _no_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in an environment without the extra."""
    monkeypatch.setitem(sys.modules, "openvino", None)


def torch_on_cpu(checkpoint: Checkpoint, *, threads: int = 1) -> Engine:
    """The reference."""
    return open_engine(checkpoint, engine="torch", device="cpu", threads=threads)


# On a CPU.


def test_torch_on_a_cpu_answers_to_the_bit_what_the_network_answers(loaded: Checkpoint) -> None:
    """float32, no rounding of its own: what `training evaluate` measures is what is served."""
    engine = torch_on_cpu(loaded)
    assert (engine.name, engine.device, engine.dtype) == ("torch", "cpu", "float32")
    for images in (loaded.golden_images, loaded.golden_images[:1]):
        answers = engine.answer(images)
        assert answers.dtype == np.float32
        with torch.inference_mode():
            logits = loaded.network(torch.from_numpy(images))
        assert np.array_equal(answers, torch.softmax(logits, dim=1).numpy())


def test_torch_on_a_cpu_uses_the_threads_that_it_was_given(loaded: Checkpoint) -> None:
    """Whichever thread calls, and whatever another engine set before."""
    engines = [torch_on_cpu(loaded, threads=threads) for threads in (2, 1)]
    for engine, threads in zip(engines, (2, 1), strict=True):
        engine.answer(loaded.golden_images[:1])
        assert torch.get_num_threads() == threads


@pytest.mark.parametrize(("asked", "given"), [(0, TorchEngine.BEST_BATCH_SIZE), (1, 1), (7, 7)])
def test_the_largest_batch_is_the_settings_or_the_engines_best(loaded: Checkpoint, asked: int, given: int) -> None:
    """0 leaves it to the engine."""
    engine = open_engine(loaded, engine="torch", device="cpu", threads=1, max_batch_size=asked)
    assert engine.max_batch_size == given


# The choice.


@pytest.mark.parametrize("is_there", [False, True])
@pytest.mark.parametrize("engine", ["auto", "torch", "openvino"])
@pytest.mark.parametrize("device", ["auto", "cpu", "cuda"])
def test_cuda_is_taken_where_it_is_unless_something_speaks_for_the_cpu(
    monkeypatch: pytest.MonkeyPatch, engine: str, device: str, is_there: bool
) -> None:
    """Who chose the CPU, or what runs there alone, has not even a driver asked, which takes memory for it."""
    asked: list[bool] = []

    def is_available() -> bool:
        asked.append(True)
        return is_there

    monkeypatch.setattr(torch.cuda, "is_available", is_available)
    speaks_for_the_cpu = device == "cpu" or engine == "openvino"
    assert takes_cuda(engine, device) == (is_there and not speaks_for_the_cpu)
    assert asked == ([] if speaks_for_the_cpu else [True])


@pytest.mark.usefixtures("_no_openvino")
@pytest.mark.parametrize(
    ("engine", "device"),
    [
        ("auto", "cpu"),
        ("torch", "cpu"),
        pytest.param("auto", "auto", marks=without_cuda),
        pytest.param("torch", "auto", marks=without_cuda),
    ],
)
def test_without_openvino_torch_runs_on_the_cpu(loaded: Checkpoint, engine: str, device: str) -> None:
    """Also where CUDA would have been taken, had there been any."""
    chosen = open_engine(loaded, engine=engine, device=device, threads=1)
    assert (chosen.name, chosen.device) == ("torch", "cpu")


@without_cuda
def test_torch_is_torch_where_openvino_is_installed_too(loaded: Checkpoint) -> None:
    """Who asks for the reference gets it."""
    assert isinstance(open_engine(loaded, engine="torch", device="auto", threads=1), TorchEngine)


@pytest.mark.usefixtures("_no_openvino")
@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_openvino_that_is_not_installed_is_a_sentence(loaded: Checkpoint, device: str) -> None:
    """It says how to install it."""
    with pytest.raises(MissingEngineError, match=r"not installed: pip install openvino"):
        open_engine(loaded, engine="openvino", device=device, threads=1)


def test_openvino_that_cannot_be_loaded_leaves_the_network_to_torch(
    loaded: Checkpoint, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A library that is missing beneath it is no reason not to serve, and is logged; who asked for it is told."""
    monkeypatch.setattr("app.engines.find_spec", lambda _name: object())
    monkeypatch.setitem(sys.modules, "app.engines.openvino_cpu", None)
    with pytest.raises(MissingEngineError, match=r"installed but cannot be loaded \(.*\)\. Install it again"):
        open_engine(loaded, engine="openvino", device="cpu", threads=1)
    assert not caplog.records
    assert open_engine(loaded, engine="auto", device="cpu", threads=1).name == "torch"
    assert [record.message for record in caplog.records] == ["torch runs the network"]


@pytest.mark.parametrize("is_there", [False, True])
def test_openvino_on_cuda_is_refused(loaded: Checkpoint, monkeypatch: pytest.MonkeyPatch, is_there: bool) -> None:
    """Whether there is CUDA or not, and OpenVINO or not: it runs on the CPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: is_there)
    with pytest.raises(MissingEngineError, match=r"runs on the CPU\. Use --device cpu .*, or the engine torch"):
        open_engine(loaded, engine="openvino", device="cuda", threads=1)


@without_cuda
@pytest.mark.parametrize("engine", ["auto", "torch"])
def test_a_missing_device_is_a_sentence(loaded: Checkpoint, engine: str) -> None:
    """Asked for CUDA where there is none, it says so and what to do; it never falls back in silence."""
    with pytest.raises(DeviceError, match=r"no CUDA device here\. Use --device cpu .*, check the driver"):
        open_engine(loaded, engine=engine, device="cuda", threads=1)


@without_cuda
@pytest.mark.skipif(torch.version.cuda is None, reason="this PyTorch is built without CUDA")
@pytest.mark.parametrize(("engine", "device"), [("auto", "auto"), ("torch", "auto"), ("torch", "cuda")])
def test_a_device_that_is_there_and_fails_is_a_sentence(
    loaded: Checkpoint, monkeypatch: pytest.MonkeyPatch, engine: str, device: str
) -> None:
    """CUDA is taken where it shows itself; a driver that then fails is told, and never as a traceback."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(DeviceError, match=r"cannot be run on CUDA \(.*or use --device cpu"):
        open_engine(loaded, engine=engine, device=device, threads=1)


# On CUDA.


class _Memory:
    """Of a device on which runs up to a size can be recorded."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.tried: list[int] = []
        self.released = 0
        self.error: RuntimeError = torch.OutOfMemoryError("CUDA out of memory")

    def record(self, size: int) -> str:
        """Record a run, if there is room."""
        self.tried.append(size)
        if size > self.room:
            raise self.error
        return f"run of {size}"

    def release(self) -> None:
        """Give back what a failed recording took."""
        self.released += 1


def test_what_fits_is_recorded_the_largest_first(caplog: pytest.LogCaptureFixture) -> None:
    """Each size is tried once, and nothing is said where all fit."""
    memory = _Memory(room=8)
    recorded = record_what_fits(memory.record, 8, release=memory.release)
    assert list(recorded.items()) == [(1, "run of 1"), (2, "run of 2"), (4, "run of 4"), (8, "run of 8")]
    assert (memory.tried, memory.released, caplog.records) == ([8, 4, 2, 1], 0, [])


def test_sizes_that_do_not_fit_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    """The memory of each failure is given back before the next try, and one line in the log says what is left."""
    memory = _Memory(room=7)
    memory.error = RuntimeError("CUDA error: out of memory")  # CUDA's own, for a graph
    assert list(record_what_fits(memory.record, 20, release=memory.release)) == [1, 2, 4]
    assert (memory.tried, memory.released) == ([20, 16, 8, 4, 2, 1], 3)
    (line,) = caplog.records
    assert (line.levelname, line.getMessage()) == ("WARNING", "out of device memory")
    assert line.__dict__["fields"] == {"not_recorded": [8, 16, 20], "max_batch_size": 4}


def test_another_failure_is_not_taken_for_a_lack_of_memory() -> None:
    """A smaller size would fail as well."""
    memory = _Memory(room=7)
    memory.error = RuntimeError("operation not permitted when stream is capturing")
    with pytest.raises(RuntimeError, match="not permitted"):
        record_what_fits(memory.record, 8, release=memory.release)
    assert memory.tried == [8]


def test_no_room_for_one_image_is_told() -> None:
    """There is nothing left to try; the engine makes a sentence of it."""
    memory = _Memory(room=0)
    with pytest.raises(torch.OutOfMemoryError, match="CUDA out of memory"):
        record_what_fits(memory.record, 2, release=memory.release)
    assert memory.tried == [2, 1]


def test_explanations_on_cuda_are_no_tf32(loaded: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine computes in half precision; what else runs that network does in float32, and means it."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", _fail)
    with pytest.raises(DeviceError, match="no such driver"):
        CudaEngine(loaded, max_batch_size=1)
    assert torch.backends.cudnn.allow_tf32 is False


def _fail() -> str:
    raise RuntimeError("no such driver")


def test_after_too_large_a_batch_an_engine_on_cuda_runs_smaller_ones() -> None:
    """For good, over all calls; and nothing that it keeps holds it in memory after a reload."""
    sizes: list[int] = []

    class Small(CudaEngine):
        """Has room for two, on no device at all."""

        def __init__(self) -> None:
            self._recovery = Recovery(release=lambda: None, is_lost=lambda: False, most=4)

        def _replay(self, images: Images) -> Answers:
            sizes.append(len(images))
            if len(images) > 2:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return images[:, 0, 0].astype(np.float32)

    engine = Small()
    gc.collect()
    gc.disable()
    try:
        for _ in range(2):
            assert len(engine.answer(np.zeros((4, 1, 1, 3), np.uint8))) == 4
        kept = weakref.ref(engine)
        del engine
        assert kept() is None
    finally:
        gc.enable()
    assert sizes == [4, 2, 2, 2, 2]


def test_the_thread_that_runs_the_gpu_takes_one_core() -> None:
    """The others decode: all that is left for the CPU is to copy."""
    torch.set_num_threads(2)
    CudaEngine.warm_up(object.__new__(CudaEngine))
    assert torch.get_num_threads() == 1


class _Stream:
    """A CUDA stream that can be waited for, or not."""

    def __init__(self, *, is_broken: bool) -> None:
        self._is_broken = is_broken

    def synchronize(self) -> None:
        """Wait."""
        if self._is_broken:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")


@pytest.mark.parametrize("is_broken", [False, True])
def test_whether_the_device_is_lost_the_engines_own_stream_tells(
    monkeypatch: pytest.MonkeyPatch, is_broken: bool
) -> None:
    """Waiting for the whole device fails while a reload records there, and breaks the recording as well."""
    monkeypatch.setattr(torch.cuda, "synchronize", _fail)
    assert torch_cuda._is_lost(cast(torch.cuda.Stream, _Stream(is_broken=is_broken))) is is_broken


@pytest.mark.parametrize(
    ("largest", "sizes"),
    [
        (1, [1]),
        (2, [1, 2]),
        (3, [1, 2, 3]),
        (8, [1, 2, 4, 8]),
        (100, [1, 2, 4, 8, 16, 32, 64, 100]),
        (256, [1, 2, 4, 8, 16, 32, 64, 128, 256]),
    ],
)
def test_powers_of_two_and_the_largest_are_recorded(largest: int, sizes: list[int]) -> None:
    """Ascending, each once, so that every batch has a size to be padded to, under twice its own."""
    assert batch_sizes(largest) == sizes


@pytest.fixture
def decisive(trained_checkpoint: Path) -> Checkpoint:
    """A checkpoint whose answers depend on the picture."""
    return load(trained_checkpoint)


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize("engine", ["auto", "torch"])
def test_on_cuda_the_golden_answers_are_right(decisive: Checkpoint, engine: str) -> None:
    """Half precision gives them within its tolerance, in plain float32."""
    on_cuda = open_engine(decisive, engine=engine, device="auto", threads=1, max_batch_size=8)
    assert isinstance(on_cuda, CudaEngine)
    assert (on_cuda.device, on_cuda.dtype) == (torch.cuda.get_device_name(), "float16")
    answers = on_cuda.answer(decisive.golden_images)
    assert answers.dtype == np.float32
    golden.check(answers, decisive.golden_probabilities, tolerance=on_cuda.tolerance)


@pytest.mark.gpu
@needs_cuda
def test_on_cuda_the_shipped_checkpoint_passes_its_own_check() -> None:
    """Its network has a whitening stem, its answers a floor and a distance."""
    shipped = load(CHECKPOINTS / "cifar10.safetensors")
    engine = CudaEngine(shipped, max_batch_size=8)
    shipped.check_golden(engine.answer(shipped.golden_images), tolerance=engine.tolerance)


@pytest.mark.gpu
@needs_cuda
def test_on_cuda_every_recorded_size_is_checked(decisive: Checkpoint) -> None:
    """Each is a graph of its own, and the golden pictures pass it before it answers anybody."""
    engine = CudaEngine(decisive, max_batch_size=20)
    assert engine.checked_sizes == (1, 2, 4, 8, 16, 20)
    check_every_way(decisive, engine)


@pytest.mark.gpu
@needs_cuda
def test_on_cuda_an_engine_is_recorded_while_another_answers(trained_checkpoint: Path) -> None:
    """As in a reload: neither disturbs the other, nor does a passing error of the first one."""
    serving, images = load(trained_checkpoint), golden.draw(32, 32, 64)
    first = CudaEngine(serving, max_batch_size=64)
    expected = first.answer(images)
    faults: list[str] = []
    done = threading.Event()

    def answer() -> None:
        while not done.is_set():
            if not np.array_equal(first.answer(images), expected):
                faults.append("other answers")
            try:
                first.answer(images[:, :16])
            except EngineLostError as error:
                faults.append(str(error))
            except RuntimeError:  # pictures of another size: told as itself
                continue

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        for _ in range(3):
            recorded = load(trained_checkpoint)
            engine = CudaEngine(recorded, max_batch_size=64)
            recorded.check_golden(engine.answer(recorded.golden_images), tolerance=engine.tolerance)
    finally:
        done.set()
        thread.join()
    assert faults == []


@pytest.mark.gpu
@needs_cuda
def test_on_cuda_without_room_for_the_largest_batch_smaller_ones_are_served() -> None:
    """With 1 GiB of the device: 16,384 pictures take several, one takes next to nothing."""
    shipped = load(CHECKPOINTS / "cifar10.safetensors")
    whole = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(min(1.0, 2**30 / whole))
    try:
        engine = CudaEngine(shipped, max_batch_size=16_384)
        assert 1 <= engine.max_batch_size < 16_384
        shipped.check_golden(engine.answer(shipped.golden_images), tolerance=engine.tolerance)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize("count", [1, 3, 256, 300, 513])
def test_on_cuda_padding_and_portions_change_nothing(decisive: Checkpoint, count: int) -> None:
    """1 and 256 are recorded, 3 is padded, more than 256 goes in portions: each row is what it would be alone."""
    images = golden.draw(32, 32, count)
    engine = CudaEngine(decisive, max_batch_size=256)
    answers = engine.answer(images)
    alone = np.concatenate([engine.answer(image[None]) for image in images[:20]])
    assert answers.shape == (count, 3)
    assert np.abs(answers[:20] - alone).max() <= engine.tolerance
    assert np.abs(answers.sum(axis=1) - 1).max() < 1e-5


@pytest.mark.gpu
@needs_cuda
def test_on_cuda_answers_stay_what_they_were(decisive: Checkpoint) -> None:
    """The memory that a run writes is used again; who holds an answer must not see it change."""
    engine = CudaEngine(decisive, max_batch_size=4)
    images = golden.draw(32, 32, 8)
    first = engine.answer(images[:4])
    before = first.copy()
    engine.answer(images[4:])
    assert np.array_equal(first, before)
    assert np.array_equal(engine.answer(images[:4]), before)
