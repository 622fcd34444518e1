"""BentoML with adaptive batches.

Tried with 32 connections, requests/s (photo: the 12-megapixel one); BentoML 1.4.39 on
2 cores of an AMD EPYC (Zen 4, AVX512-BF16, no AMX), 5 s of wrk after 3 s of warm-up, n = 1, 2026-11-23, while
other work came and went: differences under 15 % mean nothing.

| workers | other | small | photo |
|---|---|---|---|
| 2 | | 529, 616 | 6.4 |
| 2 | batches up to 100 | 497 | |
| 2 | 2 threads of PyTorch | 331 | |
| 2 | max_latency_ms 200 | 348 and 8 failures | |
| 1 | | 288 | 1.0 |
| 1 | 2 threads of PyTorch | 325 | |

The pictures go straight to the batchable method; a second service in front of it, which the documentation
shows too, would add a hop. uvloop and httptools are on its path, and its servers use them.
"""

import bentoml  # type: ignore[import-not-found]  # installed where it is measured
from PIL.Image import Image

from benchmarks.peers.network import PeerNetwork

MAX_BATCH = 32
MAX_LATENCY_MS = 60_000
WORKERS = 2
TRAFFIC = {"timeout": 60, "max_concurrency": 1024}


@bentoml.service(workers=WORKERS, traffic=TRAFFIC, logging={"access": {"enabled": False}})
class PictureService:
    """A batchable method gets the pictures of several requests; each answer is a list with one element."""

    def __init__(self) -> None:
        self.network = PeerNetwork(threads=1, batch=MAX_BATCH)

    @bentoml.api(  # type: ignore[untyped-decorator]  # not there, see above
        route="/predict", batchable=True, max_batch_size=MAX_BATCH, max_latency_ms=MAX_LATENCY_MS
    )
    def predict(self, file: list[Image]) -> list[dict]:  # type: ignore[type-arg]  # BentoML reads the annotation
        """Decode and classify; runs in a thread."""
        return self.network.answer([self.network.to_pixels(picture) for picture in file])
