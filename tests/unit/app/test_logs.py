"""One JSON object a line, whatever is logged."""

import json
import logging
import sys
import warnings

import pytest

from app.logs import REQUESTS, JsonFormatter, configure, log_request


def _line(message: str, **record: object) -> dict[str, object]:
    made = logging.makeLogRecord({"msg": message, "levelname": "INFO", "created": 0.0, **record})
    text = JsonFormatter().format(made)
    assert text.isascii()
    assert text.isprintable()
    fields: dict[str, object] = json.loads(text)
    return fields


def test_a_line_has_time_level_message_and_fields() -> None:
    """Fields stand beside the message, not inside it."""
    assert _line("request", fields={"status": 200}) == {
        "time": "1970-01-01T00:00:00.000+00:00",
        "level": "info",
        "message": "request",
        "status": 200,
    }


def test_nobody_can_forge_a_second_line() -> None:
    """Every line break that any reader knows, and the start of a terminal's control code, are escaped."""
    for character in "\n\r\x0b\x85\u2028\u2029\x9b\x1b":
        path = f'/a{character}{{"level": "error"}}'
        assert _line("request", fields={"path": path})["path"] == path


@pytest.mark.parametrize(
    ("path", "shown"), [("/" + 255 * "x", "/" + 255 * "x"), ("/" + 256 * "x", f"/{255 * 'x'}…")]
)
def test_a_long_path_does_not_make_a_line_long(path: str, shown: str, caplog: pytest.LogCaptureFixture) -> None:
    """Of more than 256 characters the line has the first ones."""
    with caplog.at_level(logging.INFO, logger=REQUESTS.name):
        log_request(
            request_id="a",
            trace_id=None,
            method="GET",
            path=path,
            status=404,
            seconds=0.0,
            client="c",
            fault=None,
            more={},
        )
    assert caplog.records[-1].fields["path"] == shown  # type: ignore[attr-defined]


def test_a_traceback_stays_in_its_line() -> None:
    """What went wrong is in the log, as a field."""
    try:
        raise ValueError("inside")
    except ValueError:
        line = _line("request", exc_info=sys.exc_info())
    assert "ValueError: inside" in str(line["traceback"])


def test_pillows_warnings_are_no_lines(caplog: pytest.LogCaptureFixture) -> None:
    """One for each damaged tag, of which a picture of 15 kB has a thousand; those of others are told."""
    logging.captureWarnings(False)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        configure("info")
        logging.getLogger().addHandler(caplog.handler)
        try:
            warnings.warn_explicit("damaged", UserWarning, "TiffImagePlugin.py", 1, module="PIL.TiffImagePlugin")
            warnings.warn_explicit("worth a line", UserWarning, "other.py", 1, module="other")
        finally:
            logging.captureWarnings(False)
    lines = [record.getMessage() for record in caplog.records if record.name == "py.warnings"]
    assert len(lines) == 1
    assert "worth a line" in lines[0]


def test_uvicorns_error_about_nothing_is_no_line(caplog: pytest.LogCaptureFixture) -> None:
    """At a stop with a slow upload it has no task to cancel; where it has some, it says so."""
    configure("info")
    uvicorn = logging.getLogger("uvicorn.error")
    logging.getLogger().addHandler(caplog.handler)
    try:
        for tasks in (0, 2):
            uvicorn.error("Cancel %s running task(s), timeout graceful shutdown exceeded", tasks)
    finally:
        logging.captureWarnings(False)
    assert [record.args for record in caplog.records] == [(2,)]
