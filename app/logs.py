"""One JSON object a line on stderr, for the service and for uvicorn alike."""

import datetime
import json
import logging
import warnings
from collections.abc import Mapping

REQUESTS = logging.getLogger("glimpse.requests")
SERVICE = logging.getLogger("glimpse")

_MOST_OF_PATH = 256
"""Characters in a line, or a caller could make it longer than collectors of logs read. Source: choice."""

_ENCODER = json.JSONEncoder(default=str)


class JsonFormatter(logging.Formatter):
    """Writes time, level and message of a line, then the fields that came as `extra={"fields": {…}}`."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one line; everything but ASCII is escaped, so nobody can forge a second one."""
        moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line = {
            "time": moment.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return _ENCODER.encode(line)


def log_request(
    *,
    request_id: str,
    trace_id: str | None,
    method: str,
    path: str,
    status: int,
    seconds: float,
    client: str,
    fault: Exception | None,
    more: Mapping[str, object],
) -> None:
    """Write the one line of a request that is over.

    Args:
        request_id: the id that the caller was told.
        trace_id: id of the caller's trace; None, and no field, where it named none.
        method: HTTP method; empty where no header came.
        path: path of the URL, without the query; a long one is cut off behind its first 256 characters.
        status: HTTP status of the answer; 0 where there was none.
        seconds: time from its header, or at the desk from the end of its body, to its answer.
        client: address of the caller.
        fault: an error that nobody foresaw, logged with its traceback; None where there was none.
        more: further fields, of whoever answered.
    """
    level = logging.ERROR if fault else logging.INFO
    if not REQUESTS.isEnabledFor(level):
        return
    fields = {
        "request_id": request_id,
        "method": method,
        "path": path if len(path) <= _MOST_OF_PATH else f"{path[:_MOST_OF_PATH]}…",
        "status": status,
        "duration_ms": round(seconds * 1000, 2),
        "client": client,
        **more,
    }
    if trace_id:
        fields["trace_id"] = trace_id
    REQUESTS.log(level, "request", exc_info=fault, extra={"fields": fields})


def configure(level: str) -> None:
    """Send everything from `level` up to stderr as JSON; uvicorn's chatter only from warnings up."""
    # No line shows these, and each record would ask the system, and the stack, for them anew.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logging.captureWarnings(True)
    # Pillow has one for each damaged tag of a picture's EXIF, and a caller may send 65,535.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("uvicorn.error").addFilter(_tells_something)
    logging.getLogger("uvicorn").setLevel(max(logging.WARNING, logging.getLogger().level))


def _tells_something(record: logging.LogRecord) -> bool:
    """Leave out the error by which uvicorn says that at a stop it had to cancel nothing: an upload was slow."""
    return not (str(record.msg).startswith("Cancel %s running task(s)") and record.args == (0,))
