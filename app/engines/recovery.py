"""What an accelerator's engine does when a run fails: less at a time, or give up for good."""

from collections.abc import Callable

import numpy as np
import torch

from app.errors import EngineError, EngineLostError
from app.logs import SERVICE
from models.memory import lacks_device_memory
from models.preprocessing import Answers, Images


class Recovery:
    """Runs images in portions that fit into memory, and finds out when the device itself is lost.

    After an out-of-memory error the portion is halved, for good: whatever took the memory will take it again.

    Args:
        release: gives cached memory back.
        is_lost: tells whether the device fails on everything; asked after each error that is not of memory.
        most: most images of one run, at least 1.

    Attributes:
        most: most images of one run by now.
    """

    def __init__(self, *, release: Callable[[], None], is_lost: Callable[[], bool], most: int) -> None:
        self._release = release
        self._is_lost = is_lost
        self.most = most

    def __call__(self, run: Callable[[Images], Answers], images: Images) -> Answers:
        """Run all images, in as many portions as it takes.

        Args:
            run: uint8 (n, height, width, 3) → float32 (n, classes), for n up to `most`; it is not kept, as an
                engine that has this and whose run it is would hold itself in memory after a reload.
            images: uint8 (n, height, width, 3), any number of them.

        Raises:
            EngineError: there is no memory for a single image.
            EngineLostError: the device is lost.
        """
        done: list[Answers] = []
        position = 0
        while position < len(images):
            portion = images[position : position + self.most]
            try:
                done.append(run(portion))
            except Exception as error:  # raised again, as itself or as what it means, unless less may do
                if not isinstance(error, torch.OutOfMemoryError) and self._is_lost():
                    raise EngineLostError(f"The device is lost ({error}). Restart the service.") from error
                if not lacks_device_memory(error):
                    raise
                self._ask_for_less(len(portion), error)
            else:
                position += len(portion)
        return np.concatenate(done)

    def _ask_for_less(self, failed: int, error: Exception) -> None:
        self._release()
        if failed == 1:
            raise EngineError("The device has no memory for one image. Free it, or use another.") from error
        self.most = failed // 2
        SERVICE.warning("out of device memory", extra={"fields": {"images": failed, "max_batch_size": self.most}})
