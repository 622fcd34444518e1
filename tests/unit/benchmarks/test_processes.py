"""Servers that are started for a measurement, and end with it; and modules that are run for one."""

import sys
import time
from pathlib import Path

import pytest

from benchmarks.processes import StartError, free_port, run_module, serve, session_members

_STUBBORN = """
import http.server, signal, subprocess, sys, time
child = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
subprocess.Popen([sys.executable, "-c", child])
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()
"""


@pytest.mark.parametrize("ends", [None, KeyboardInterrupt])
def test_a_server_ends_with_all_its_processes(ends: type[BaseException] | None) -> None:
    """Also a child that does not obey, and also where the measurement is stopped."""
    port, session = free_port(), 0
    try:
        with serve(
            [sys.executable, "-c", _STUBBORN, str(port)],
            port=port,
            environment={},
            is_ready=lambda server: server.get("/") == 200,
        ) as running:
            session = running.session
            assert len(session_members(session)) == 2
            if ends:
                raise ends
    except KeyboardInterrupt:
        assert ends
    ends_s = time.monotonic() + 10
    while session_members(session) and time.monotonic() < ends_s:
        time.sleep(0.05)
    assert session_members(session) == []


def test_a_server_that_ends_at_once_says_why() -> None:
    """With the end of what it printed."""
    with (
        pytest.raises(StartError, match=r"it ended with exit code 7: no module of that name"),
        serve(
            [sys.executable, "-c", "print('no module of that name'); raise SystemExit(7)"],
            port=free_port(),
            environment={},
            is_ready=lambda _: False,
        ),
    ):
        pytest.fail("it never was ready")


def test_a_module_gives_the_last_line_that_it_prints(tmp_path: Path) -> None:
    """As an object; one that fails says why."""
    (tmp_path / "lines.json").write_text('{"batch": 1}\n{"batch": 32}\n')
    given = ("--json-lines", "--compact", str(tmp_path / "lines.json"))
    assert run_module("json.tool", *given, timeout_s=60) == {"batch": 32}
    with pytest.raises(RuntimeError, match=r"^json.tool failed: (.|\n)*no_such_file"):
        run_module("json.tool", str(tmp_path / "no_such_file"), timeout_s=60)
