"""An accelerator that runs out of memory, or is lost."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from app.engines.recovery import Recovery
from app.errors import EngineError, EngineLostError
from models.preprocessing import Answers, Images


class Device:
    """Answers each image with its own first pixel, and has room for a few at a time.

    Attributes:
        room: most images of one run.
        runs: how many images each run had that was tried.
        released: how often cached memory was given back.
    """

    def __init__(self, room: int, *, error: RuntimeError | None = None) -> None:
        self.room = room
        self.error = error or torch.OutOfMemoryError("CUDA out of memory")
        self.runs: list[int] = []
        self.released = 0

    def run(self, images: Images) -> Answers:
        """Run, if there is room."""
        self.runs.append(len(images))
        if len(images) > self.room:
            raise self.error
        return images[:, 0, 0, :1].astype(np.float32)

    def release(self) -> None:
        """Once more."""
        self.released += 1


def recovery(*, most: int, device: Device | None = None, is_lost: bool = False) -> Recovery:
    """For a device that can be lost, and whose memory can be given back."""
    return Recovery(release=device.release if device else lambda: None, is_lost=lambda: is_lost, most=most)


def images(count: int) -> Images:
    """Image i is made of i."""
    return np.arange(count, dtype=np.uint8)[:, None, None, None].repeat(3, axis=3)


def is_in_order(rows: Answers, count: int) -> bool:
    """Every image has its own answer, in its own place."""
    return rows.dtype == np.float32 and rows.tolist() == [[value] for value in range(count)]


def fields(records: Sequence[logging.LogRecord]) -> list[dict[str, Any]]:
    """What stands beside the messages."""
    return [record.__dict__["fields"] for record in records]


def test_more_than_a_run_takes_goes_in_portions() -> None:
    """Eight at most: 20 images are runs of 8, 8 and 4."""
    device = Device(room=8)
    assert is_in_order(recovery(most=8)(device.run, images(20)), 20)
    assert device.runs == [8, 8, 4]


def test_after_an_out_of_memory_error_portions_are_halved_for_good(caplog: pytest.LogCaptureFixture) -> None:
    """32, 16, 8, 4 and 2 do not fit; one does, and from then on nothing larger is tried; the log says it."""
    device = Device(room=1)
    recovering = recovery(most=32, device=device)
    assert is_in_order(recovering(device.run, images(32)), 32)
    assert device.runs == [32, 16, 8, 4, 2] + [1] * 32
    assert (recovering.most, device.released) == (1, 5)
    assert {record.getMessage() for record in caplog.records} == {"out of device memory"}
    assert {record.levelname for record in caplog.records} == {"WARNING"}
    assert fields(caplog.records)[:2] == [
        {"images": 32, "max_batch_size": 16},
        {"images": 16, "max_batch_size": 8},
    ]

    device.room, device.runs = 1_000, []
    assert is_in_order(recovering(device.run, images(3)), 3)
    assert device.runs == [1, 1, 1]


def test_memory_that_cuda_itself_lacks_is_memory() -> None:
    """A replay takes nothing from PyTorch's allocator, whose error alone has a class of its own."""
    device = Device(room=2, error=RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"))
    assert is_in_order(recovery(most=4)(device.run, images(4)), 4)
    assert device.runs == [4, 2, 2]


def test_memory_that_runs_out_between_two_portions_costs_no_answer() -> None:
    """The portions that are done are kept, and only what failed is tried again."""
    device = Device(room=8)

    def run(portion: Images) -> Answers:
        if len(device.runs) == 2:
            device.room = 3
        return device.run(portion)

    assert is_in_order(recovery(most=8)(run, images(24)), 24)
    assert device.runs == [8, 8, 8, 4, 2, 2, 2, 2]


@given(count=st.integers(1, 100), most=st.integers(1, 64), room=st.integers(1, 64))
def test_whatever_fits_the_answers_are_complete_and_in_order(count: int, most: int, room: int) -> None:
    """Any number of images, any cap, any room; and no run is tried that is larger than one that failed."""
    device = Device(room)
    assert is_in_order(recovery(most=most)(device.run, images(count)), count)
    assert max(device.runs) <= most
    assert device.runs == sorted(device.runs, reverse=True)


def test_no_room_for_one_image_is_the_engines_error() -> None:
    """There is nothing left to halve; whoever asks is told, and the next one may fit again."""
    device = Device(room=0)
    recovering = recovery(most=4)
    with pytest.raises(EngineError, match=r"no memory for one image\. Free it, or use another\.") as failure:
        recovering(device.run, images(4))
    assert failure.type is EngineError
    assert isinstance(failure.value.__cause__, torch.OutOfMemoryError)
    assert device.runs == [4, 2, 1]
    device.room = 1
    assert is_in_order(recovering(device.run, images(4)), 4)


def _broken(_: Images) -> Answers:
    raise RuntimeError("CUDA error: an illegal memory access was encountered")


def test_a_device_that_fails_on_everything_is_lost() -> None:
    """Only a new process helps, and the cause stays readable."""
    lost = recovery(most=8, is_lost=True)
    with pytest.raises(
        EngineLostError, match=r"lost \(CUDA error: an illegal .*\)\. Restart the service\."
    ) as failure:
        lost(_broken, images(2))
    assert isinstance(failure.value.__cause__, RuntimeError)


def test_an_error_that_passes_is_told_as_itself() -> None:
    """The device still works: it was this batch, and the queue finds out whose picture."""
    passing = recovery(most=8)
    with pytest.raises(RuntimeError, match=r"^CUDA error: an illegal memory access"):
        passing(_broken, images(2))
    assert passing.most == 8


def test_the_device_is_asked_only_after_an_error() -> None:
    """Not after a run that was good, nor after one that merely wanted too much memory."""
    device, asked = Device(room=2), []

    def is_lost() -> bool:
        asked.append(1)
        return True

    asking = Recovery(release=device.release, is_lost=is_lost, most=8)
    assert is_in_order(asking(device.run, images(8)), 8)
    assert asked == []
