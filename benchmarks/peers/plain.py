"""The service of every tutorial: FastAPI, `async def`, one forward pass for each request.

Two threads of PyTorch: 277 requests/s with 1 connection and 304 with 32, against 203 and 182 with one thread
(2 cores of an AMD EPYC, Zen 4, without AMX; 4 to 5 s of wrk, n = 1, 2026-11-23). The event loop decodes and
computes, as in the tutorials, so connections only wait for each other.
"""

import argparse

import uvicorn
from fastapi import FastAPI, UploadFile

from benchmarks.peers.network import PeerNetwork


def create_app() -> FastAPI:
    """Make the application."""
    app = FastAPI()
    network = PeerNetwork(threads=2, batch=1)

    @app.post("/predict")
    async def predict(file: UploadFile) -> dict[str, object]:
        return network.answer([network.decode(await file.read())])[0]

    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    uvicorn.run(create_app(), host="127.0.0.1", port=parser.parse_args().port, access_log=False)
