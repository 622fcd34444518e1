"""Drive a server with wrk and read back what it measured."""

import json
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.photos import Upload

MISSING = (
    "wrk is missing; it drives the servers. Install it with `apt-get install wrk` (Debian, Ubuntu) or "
    "`brew install wrk`, then run this again."
)
TIMEOUT_S = 30
"""A slow peer answers 32 photos at once after four seconds; wrk's own 2 s would call each a timeout."""

_SCRIPT = """
local file = assert(io.open("{body}", "rb"))
wrk.method, wrk.body = "POST", file:read("*a")
file:close()
wrk.headers["Content-Type"] = "{content_type}"
wrk.headers["Accept"] = "application/json"
{count}
function done(summary, latency, requests)
  local failed = summary.errors
  io.write(string.format(
    '\\nGLIMPSE {{"requests":%d,"duration_us":%d,"p50_us":%f,"p99_us":%f,"max_us":%f,"status":%d,'
    .. '"socket":%d,"timeout":%d,"unavailable":%d,"without_retry_after":%d}}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), latency.max,
    failed.status, failed.connect + failed.read + failed.write, failed.timeout,
    counted("unavailable"), counted("without_retry_after")))
end
"""

# A response callback costs wrk a table of headers for each answer, so it is there only where 503s are expected.
_NO_COUNT = "function counted(name) return 0 end"
_COUNT = """
local workers = {}
function setup(thread) table.insert(workers, thread) end
unavailable, without_retry_after = 0, 0
function response(status, headers)
  if status ~= 503 then return end
  unavailable = unavailable + 1
  for name in pairs(headers) do
    if string.lower(name) == "retry-after" then return end
  end
  without_retry_after = without_retry_after + 1
end
function counted(name)
  local sum = 0
  for _, thread in ipairs(workers) do sum = sum + thread:get(name) end
  return sum
end
"""


@dataclass(frozen=True)
class Measurement:
    """One run of wrk.

    Attributes:
        requests_per_s: answers of any status a second.
        p50_ms: half of the answers came within it. wrk adds to each that took long those that the connection would
            have sent meanwhile, so it is no plain percentile, and nor is the next.
        p99_ms: 99 of 100 did, refusals included.
        max_ms: every answer came within it.
        requests: answers in all.
        seconds: how long it ran.
        unavailable: answers 503, counted only where that was asked for.
        without_retry_after: of those, the ones that do not say when to come back.
        other_failures: any other answer above 399.
        socket_errors: connections refused, reset or broken.
        timeouts: answers that took more than 30 s. What had none when the time was over is not counted at all.
    """

    requests_per_s: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    requests: int
    seconds: float
    unavailable: int
    without_retry_after: int
    other_failures: int
    socket_errors: int
    timeouts: int

    @property
    def answered_per_s(self) -> float:
        """Answers below 400 a second: a server must not look fast by refusing."""
        return self.requests_per_s - (self.unavailable + self.other_failures) / self.seconds


def is_installed() -> bool:
    """Say whether there is a wrk on the path."""
    return shutil.which("wrk") is not None


def drive(url: str, upload: Upload, *, connections: int, seconds: int, count_503: bool = False) -> Measurement:
    """Post one body again and again, on one thread of wrk: the server shares the cores with it.

    Args:
        url: where to post.
        upload: what to post.
        connections: kept alive, each with one request at a time.
        seconds: how long.
        count_503: tell 503 from other failures.

    Raises:
        RuntimeError: wrk failed or printed something else; carries what it said.
    """
    with tempfile.TemporaryDirectory(prefix="glimpse-wrk-") as folder:
        body, script = Path(folder, "body"), Path(folder, "post.lua")
        body.write_bytes(upload.body)
        count = _COUNT if count_503 else _NO_COUNT
        script.write_text(_SCRIPT.format(body=body, content_type=upload.content_type, count=count))
        options = ["-t1", f"-c{connections}", f"-d{seconds}s", f"--timeout={TIMEOUT_S}s", "--latency"]
        done = subprocess.run(
            ["wrk", *options, "-s", str(script), url],
            capture_output=True,
            text=True,
            timeout=seconds + 2 * TIMEOUT_S,
            check=False,
        )
    line = next((line for line in done.stdout.splitlines() if line.startswith("GLIMPSE ")), None)
    if done.returncode or line is None:
        raise RuntimeError(f"wrk failed on {url}: {(done.stderr or done.stdout).strip()[-500:]}")
    return _read(json.loads(line.removeprefix("GLIMPSE ")))


def _read(facts: dict[str, float]) -> Measurement:
    seconds = facts["duration_us"] / 1e6
    return Measurement(
        requests_per_s=round(facts["requests"] / seconds, 1),
        p50_ms=round(facts["p50_us"] / 1000, 2),
        p99_ms=round(facts["p99_us"] / 1000, 2),
        max_ms=round(facts["max_us"] / 1000, 2),
        requests=int(facts["requests"]),
        seconds=round(seconds, 2),
        unavailable=int(facts["unavailable"]),
        without_retry_after=int(facts["without_retry_after"]),
        other_failures=int(facts["status"] - facts["unavailable"]),
        socket_errors=int(facts["socket"]),
        timeouts=int(facts["timeout"]),
    )
