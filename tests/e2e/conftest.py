"""Real processes, on ports that the system chose, that end with the test; and a real browser in front of them."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import torch
from playwright.sync_api import Browser, ConsoleMessage, Page, Route, sync_playwright

from models import checkpoint
from models.calibration import Calibration
from models.networks import build
from tests.conftest import tiny_record
from tests.e2e.processes import ROOT, kill_group, killed_when_late


class Server:
    """`python -m app` in a process of its own, which leads a process group.

    Args:
        arguments: of the command line, without --port.
    """

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "app", "--port", "0", *arguments],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
        self.lines: list[str] = []
        workers = int(arguments[arguments.index("--workers") + 1]) if "--workers" in arguments else 1
        try:
            with killed_when_late(self.process):
                self.url = self._wait_for("listening on ").split("listening on ")[1]
                for _ in range(workers):
                    self._wait_for("ready")
        except BaseException:
            kill_group(self.process)
            self.process.communicate()
            raise
        self._reader = threading.Thread(target=self._read)  # a pipe that nobody reads fills, and stops the server
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr
        with self.process.stderr as log:
            self.lines.extend(log)

    def _wait_for(self, beginning: str) -> str:
        assert self.process.stderr
        for line in self.process.stderr:
            self.lines.append(line)
            message: str = json.loads(line)["message"] if line.startswith("{") else ""
            if message.startswith(beginning):
                return message
        raise AssertionError(f"the server ended with {self.process.wait()}: {''.join(self.lines)}")

    def stop(self, signal: int) -> int:
        """Send a signal, and return the exit code; what it still said is in `lines`."""
        self.process.send_signal(signal)
        code = self.process.wait(timeout=30)
        self._reader.join(timeout=30)
        assert not self._reader.is_alive(), "somebody else still holds its stderr"
        return code

    def end(self) -> None:
        """Kill what still runs of it, workers included."""
        kill_group(self.process)
        self.process.wait()
        self._reader.join()


@pytest.fixture
def start_server(checkpoint_path: Path) -> Iterator[Callable[..., Server]]:
    """Start servers of the tiny checkpoint; whatever still runs at the end is killed."""
    servers: list[Server] = []

    def start(*arguments: str) -> Server:
        servers.append(
            Server("--checkpoint", str(checkpoint_path), "--engine", "torch", "--drain-delay-s", "0", *arguments)
        )
        return servers[-1]

    yield start
    for server in servers:
        server.end()


CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE_MS = 60_000
"""A browser beside other work on two cores is slow; nothing waits longer than it must."""
_REFUSED = "Failed to load resource: the server responded with a status of"


class Window:
    """Opens pages of one server, and sees to it that they behave: `check` at the end.

    Args:
        browser: that is running.
        url: of the server.
    """

    def __init__(self, browser: Browser, url: str) -> None:
        self.url = url
        self._browser = browser
        self._faults: list[str] = []
        self._requested: set[str] = set()
        self._refused: set[str] = set()
        self._expected: set[str] = set()
        self._held: list[Route] = []
        self._is_closing = False

    def open(self, path: str, *, scheme: str = "light", width: int = 1200, refused: tuple[str, ...] = ()) -> Page:
        """Open a page of the server.

        Args:
            path: on the server.
            scheme: light or dark.
            width: of the screen in pixels; it is as high as a phone.
            refused: paths that the test has refused on purpose; a browser counts every refusal as an error.
        """
        page = self.blank(scheme=scheme, width=width)
        self.visit(page, path, refused=refused)
        return page

    def visit(self, page: Page, path: str, *, refused: tuple[str, ...] = ()) -> None:
        """Go to a page of the server, as `open` does, in a page that has been opened."""
        self._expected |= set(refused)
        page.goto(self.url + path)

    def blank(self, *, scheme: str = "light", width: int = 1200) -> Page:
        """Open an empty page that is watched from its first request on."""
        context = self._browser.new_context(
            viewport={"width": width, "height": 800},
            color_scheme="dark" if scheme == "dark" else "light",
            reduced_motion="reduce",
        )
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.on("console", self._listen)
        page.on("pageerror", lambda error: self._faults.append(str(error)))
        page.on("request", lambda request: self._requested.add(request.url))
        return page

    def hold(self, page: Page, pattern: str, *, times: int | None = None) -> None:
        """Keep requests on their way until the window closes, as a very slow line does."""

        def keep(route: Route) -> None:
            self._held.append(route)

        page.route(pattern, keep, times=times)

    def _listen(self, message: ConsoleMessage) -> None:
        if self._is_closing:
            return
        if message.text.startswith(_REFUSED):
            self._refused.add(urlsplit(message.location["url"]).path)
        elif message.type in {"error", "warning"}:
            self._faults.append(message.text)

    def check(self) -> None:
        """No error, no refusal that was not meant, and not one request that left the server."""
        assert self._faults == []
        assert self._refused == self._expected
        elsewhere = {url for url in self._requested if not url.startswith((f"{self.url}/", "blob:", "data:"))}
        assert elsewhere == set()

    def close(self) -> None:
        """Close all pages."""
        self._is_closing = True
        for route in self._held:
            route.abort()
        for context in self._browser.contexts:
            context.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, without a window.

    For one module: as long as it runs, nothing else in this thread can run an event loop.
    """
    found = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if found is None:
        sentence = "no Chromium is installed: apt-get install chromium"
        if os.environ.get("CI"):
            pytest.fail(sentence)
        pytest.skip(sentence)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"], timeout=PATIENCE_MS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def colour_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serves a model that knows red, green and blue, and is not sure about anything between them."""
    path = tmp_path_factory.mktemp("colours") / "colours.safetensors"
    record = dataclasses.replace(tiny_record(), calibration=Calibration(abstain_threshold=0.5))
    network = build(record.architecture, classes=len(record.labels), spec=record.input)
    weights = dict(network.named_parameters())
    with torch.no_grad():
        for weight in weights.values():
            weight.zero_()
        for channel in range(3):
            weights["conv1.weight"][channel, channel, 2, 2] = 1
            weights["conv2.weight"][channel, channel, 2, 2] = 1
            weights["fc1.weight"][channel, 25 * channel : 25 * (channel + 1)] = 1 / 25
            weights["fc2.weight"][channel, channel] = 1
            weights["fc3.weight"][channel, channel] = 10
    checkpoint.save(path, network, record)
    server = Server("--checkpoint", str(path), "--engine", "torch", "--drain-delay-s", "0")
    yield server
    server.end()


@pytest.fixture
def window(browser: Browser, colour_server: Server) -> Iterator[Window]:
    """Pages of that server; at the end none of them may have had an error or asked anybody else."""
    window = Window(browser, colour_server.url)
    yield window
    window.close()
    window.check()
