"""One JSON object a line on stderr, for the service and for uvicorn alike."""

import datetime
import json
import logging

REQUESTS = logging.getLogger("glimpse.requests")
SERVICE = logging.getLogger("glimpse")


class JsonFormatter(logging.Formatter):
    """time, level, message, then whatever the caller passed as `extra={"fields": {…}}`."""

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
        return json.dumps(line, default=str)


def configure(level: str) -> None:
    """Send everything from `level` up to stderr as JSON; uvicorn's chatter only from warnings up."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logging.captureWarnings(True)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("uvicorn").setLevel(max(logging.WARNING, logging.getLogger().level))
