"""Ray Serve with `@serve.batch`.

Tried with 32 connections, requests/s (photo: the 12-megapixel one); Ray 2.60.0 on
2 cores of an AMD EPYC (Zen 4, AVX512-BF16, no AMX), 5 s of wrk after 3 s of warm-up, n = 1, 2026-11-23, while
other work came and went: differences under 15 % mean nothing.

| mode | replicas | batch_wait_timeout_s | small | photo |
|---|---|---|---|---|
| throughput, HAProxy | 2 | 0 | 858, 689 | 12.2 |
| throughput, HAProxy | 2 | 0.005 | 796 | 8.9 |
| throughput, HAProxy | 2 | 0, batches of 16 | 558 | |
| throughput, HAProxy | 1 | 0 | 517 | 6.0 |
| throughput, HAProxy | 1 | 0.005 | 415 | 5.9 |
| throughput | 2 | 0.005 | 151 | 6.7 |
| throughput | 1 | 0 | 180 | |
| throughput | 1 | 0.005, 2 threads of PyTorch | 174 | |
| default | 1 | 0.005 | 176 | 4.3 |

The mode is two variables in the environment (`benchmarks.servers.RAY_MODE`); HAProxy comes with ray[serve] and
talks to the replicas directly, which is most of the gain.
"""

import argparse
import signal
import threading
from typing import BinaryIO

import ray  # type: ignore[import-not-found]  # installed where it is measured
from ray import serve
from starlette.datastructures import UploadFile
from starlette.requests import Request

from benchmarks.peers.network import PeerNetwork

MAX_BATCH = 32
BATCH_WAIT_S = 0.0
REPLICAS = 2
MAX_ONGOING_REQUESTS = 512
"""Above the 256 connections of the benchmark, so that none waits outside the replica for lack of a slot."""


class PictureService:
    """Reads the form, then waits for the batch."""

    def __init__(self) -> None:
        self.network = PeerNetwork(threads=1, batch=MAX_BATCH)

    @serve.batch(max_batch_size=MAX_BATCH, batch_wait_timeout_s=BATCH_WAIT_S)  # type: ignore[untyped-decorator]  # not there, see above
    async def classify(self, files: list[BinaryIO]) -> list[dict[str, object]]:
        """Decode and classify the pictures of several requests."""
        return self.network.answer([self.network.decode(file) for file in files])

    async def __call__(self, request: Request) -> dict[str, object]:
        """Answer one request."""
        file = (await request.form())["file"]
        assert isinstance(file, UploadFile)
        answer: dict[str, object] = await self.classify(file.file)
        return answer


def main() -> None:
    """Serve until told to stop, then stop the processes that Ray started for this one."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_args().port
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    ray.init(address="local", num_cpus=4, include_dashboard=False, object_store_memory=200_000_000)
    serve.start(
        http_options={"host": "127.0.0.1", "port": port},
        logging_config={"enable_access_log": False, "log_level": "WARNING"},
    )
    deployment = serve.deployment(num_replicas=REPLICAS, max_ongoing_requests=MAX_ONGOING_REQUESTS)
    serve.run(deployment(PictureService).bind(), route_prefix="/predict")
    stop.wait()
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main()
