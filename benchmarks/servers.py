"""The servers that are compared: how each is started and when it counts as up."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.photos import small_upload
from benchmarks.processes import ROOT, Running, free_port, serve

PEERS = ROOT / ".peers"
RAY_MODE = {"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1", "RAY_SERVE_ENABLE_HA_PROXY": "1"}
"""Ray's documented mode for high throughput; its processes read it when they import Ray."""


@dataclass(frozen=True)
class Server:
    """One server.

    Attributes:
        name: as on the command line.
        title: as in the table.
        python: the interpreter of its environment.
        arguments: of that interpreter, for a port.
        packages: whose versions are reported.
        environment: added to this process's own.
        is_glimpse: it is measured from its first second, without a warm-up.
    """

    name: str
    title: str
    python: Path
    arguments: Callable[[int], list[str]]
    packages: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    is_glimpse: bool = False

    @property
    def is_installed(self) -> bool:
        """Say whether its environment is there."""
        return self.python.exists()

    @contextmanager
    def start(self) -> Iterator[Running]:
        """Run it on a port that the system chose, until the block ends.

        Glimpse is up when it says so; this sends it no picture, so its first measured request is its first
        one. A peer is up when it has answered a picture.
        """
        port, upload = free_port(), small_upload()

        def is_ready(server: Running) -> bool:
            if self.is_glimpse:
                return server.get("/health/ready") == 200
            return server.post("/predict", upload)[0] == 200

        command = [str(self.python), *self.arguments(port)]
        with serve(command, port=port, environment=self.environment, is_ready=is_ready) as running:
            yield running


def _module(name: str) -> Callable[[int], list[str]]:
    return lambda port: ["-m", name, "--port", str(port)]


def _bentoml(port: int) -> list[str]:
    service = "benchmarks.peers.bentoml_server:PictureService"
    return ["-m", "bentoml", "serve", service, "--host", "127.0.0.1", "--port", str(port)]


def _peer_python(name: str) -> Path:
    return PEERS / name / "bin" / "python"


OWN = Path(sys.executable)
_BENEATH = ("torch", "numpy", "pillow", "uvicorn")
"""What a peer's figures depend on beside the peer."""
GLIMPSE = Server("glimpse", "Glimpse", OWN, _module("app"), ("glimpse", "fastapi"), is_glimpse=True)
PLAIN = Server("plain", "plain FastAPI", OWN, _module("benchmarks.peers.plain"), ("fastapi", "uvicorn"))
LITSERVE = Server(
    "litserve",
    "LitServe",
    _peer_python("litserve"),
    _module("benchmarks.peers.litserve_server"),
    ("litserve", *_BENEATH),
)
BENTOML = Server(
    "bentoml",
    "BentoML",
    _peer_python("bentoml"),
    _bentoml,
    ("bentoml", *_BENEATH),
    {"BENTOML_DO_NOT_TRACK": "True"},
)
RAY = Server(
    "ray",
    "Ray Serve",
    _peer_python("ray"),
    _module("benchmarks.peers.ray_server"),
    ("ray", *_BENEATH),
    {"RAY_USAGE_STATS_ENABLED": "0", **RAY_MODE},
)

SERVERS = {server.name: server for server in (GLIMPSE, LITSERVE, BENTOML, RAY, PLAIN)}
