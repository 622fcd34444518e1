"""LitServe with dynamic batches.

Tried with 32 connections, requests/s (photo: the 12-megapixel one); LitServe 0.2.19 on
2 cores of an AMD EPYC (Zen 4, AVX512-BF16, no AMX), 5 s of wrk after 3 s of warm-up, n = 1, 2026-11-23, while
other work came and went: differences under 15 % mean nothing.

| workers | batch_timeout | other | small | photo |
|---|---|---|---|---|
| 2 | 5 ms | | 486 | 10.5 |
| 2 | 20 ms | twice as slow with 1 connection | 534 | |
| 2 | 5 ms | 2 API servers | 473 | 11.1 |
| 1 | 5 ms | | 423 | 5.7 |
| 1 | 5 ms | 2 threads of PyTorch | 372 | |
| 1 | 5 ms | without fast_queue | 463 | |
| 1 | 1 ms | | 396 | |
| 1 | 1 ms | batches of 16 | 391 | |
| 1 | 20 ms | | 365 | |
| 1 | 0 | | 475 | |

Two workers decode photos twice as fast. With a timeout of 0 an idle worker polls without sleeping; two of them
took the cores from everything else.
"""

import argparse

import litserve  # type: ignore[import-not-found]  # installed where it is measured

from benchmarks.peers.network import PeerNetwork
from models.preprocessing import Images

MAX_BATCH = 32
BATCH_TIMEOUT_S = 0.005
WORKERS = 2


class PictureApi(litserve.LitAPI):  # type: ignore[misc]  # not there, see above
    """Decode, batch, predict, encode: the four steps that LitServe runs one after another in a worker."""

    def setup(self, device: str) -> None:  # noqa: ARG002 - PeerNetwork chooses
        """Load the network, once in each worker."""
        self.network = PeerNetwork(threads=1, batch=MAX_BATCH)

    def decode_request(self, request: litserve.Request) -> Images:
        """Take the picture out of the form; LitServe parses it where it reads the annotation Request."""
        return self.network.decode(request["file"].file)

    def batch(self, inputs: list[Images]) -> list[Images]:
        """Keep the list: the network stacks it."""
        return inputs

    def predict(self, pictures: list[Images]) -> list[dict[str, object]]:
        """Run one batch."""
        return self.network.answer(pictures)

    def unbatch(self, output: list[dict[str, object]]) -> list[dict[str, object]]:
        """One answer for each picture already."""
        return output

    def encode_response(self, output: dict[str, object]) -> litserve.Response:
        """JSON as it is; another annotation would make FastAPI check each answer against it."""
        return output


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    api = PictureApi(max_batch_size=MAX_BATCH, batch_timeout=BATCH_TIMEOUT_S)
    server = litserve.LitServer(api, workers_per_device=WORKERS, fast_queue=True)
    server.run(
        host="127.0.0.1",
        port=parser.parse_args().port,
        num_api_servers=1,
        log_level="warning",
        access_log=False,
        generate_client_file=False,
    )


if __name__ == "__main__":
    main()
