"""What every peer serves: the checkpoint's network as a careful user of PyTorch would run it.

All peers share this module, so they differ in nothing but their server. Channels-last weights, inference
mode, a fixed number of threads, no rounding where the network is quantized, and float32 or bfloat16, whichever
a short measurement at the start finds faster for the batch size that the peer reaches.
"""

import io
import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image

from benchmarks.plain_network import plain_network
from models.checkpoint import load
from models.preprocessing import Images

_SHIPPED = Path(__file__).parents[2] / "models" / "checkpoints" / "cifar10.safetensors"
CHECKPOINT = Path(os.environ.get("GLIMPSE_CHECKPOINT") or _SHIPPED)
"""The one that Glimpse serves, too."""
TOP_K = 5
_ROUNDS = 5


class PeerNetwork:
    """The network, ready to answer.

    Args:
        threads: of PyTorch, in this process;
        batch: the size that the dtype is chosen for.
    """

    def __init__(self, *, threads: int, batch: int) -> None:
        torch.set_num_threads(int(os.environ.get("PEER_THREADS", threads)))
        checkpoint = load(CHECKPOINT)
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._network = plain_network(checkpoint).to(self._device).to(memory_format=torch.channels_last)
        self._labels, self._size = checkpoint.record.labels, checkpoint.record.input
        reduced = torch.float16 if self._device == "cuda" else torch.bfloat16
        self._dtype = min((torch.float32, reduced), key=lambda dtype: self._time_s(dtype, batch))
        print(f"peer: {self._device}, {self._dtype}, {torch.get_num_threads()} threads", flush=True)

    def decode(self, file: BinaryIO | bytes) -> Images:
        """Read a picture the usual way: Pillow, RGB, resized to the network's input."""
        return self.to_pixels(Image.open(io.BytesIO(file) if isinstance(file, bytes) else file))

    def to_pixels(self, picture: Image.Image) -> Images:
        """Turn a picture that a server has opened into uint8 (height, width, 3)."""
        return np.asarray(picture.convert("RGB").resize((self._size.width, self._size.height)))

    def answer(self, pictures: Sequence[Images]) -> list[dict[str, object]]:
        """Answer decoded pictures with the five best labels of each."""
        scores, indices = self._run(np.stack(pictures), self._dtype).topk(TOP_K)
        return [
            {
                "predictions": [
                    {"label": self._labels[index], "class_index": index, "score": round(score, 6)}
                    for index, score in zip(places, values, strict=True)
                ]
            }
            for places, values in zip(indices.tolist(), scores.tolist(), strict=True)
        ]

    def _run(self, images: Images, dtype: torch.dtype) -> torch.Tensor:
        with (
            torch.inference_mode(),
            torch.autocast(self._device, dtype, enabled=dtype is not torch.float32),
        ):
            logits = self._network(torch.from_numpy(images).to(self._device))
            return torch.softmax(logits.float(), 1).cpu()

    def _time_s(self, dtype: torch.dtype, batch: int) -> float:
        """Median of five runs after two that are not counted; random pixels take as long as any."""
        shape = (batch, self._size.height, self._size.width, 3)
        images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        durations_s = []
        for _ in range(2 + _ROUNDS):
            started_s = time.perf_counter()
            self._run(images, dtype)
            durations_s.append(time.perf_counter() - started_s)
        return statistics.median(durations_s[2:])
