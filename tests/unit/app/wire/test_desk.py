"""Who is let in by the header, and who is counted, over a service whose engine does not run."""

import weakref
from pathlib import Path

import pytest

from app.callers import Caller
from app.service import Service
from app.wire.desk import Desk
from app.wire.exchange import Admitted, Refused
from tests.unit.app.loops import no_error_in_a_circle, with_loop
from tests.unit.app.services import shown, trusted

HEADERS = [(b"host", b"x"), (b"content-length", b"5")]


def come(desk: Desk, path: bytes = b"/predict") -> Admitted | Refused | None:
    """A header comes."""
    return desk.admit(b"POST", path, HEADERS)


def let_in(desk: Desk) -> Admitted:
    """A header comes, and is welcome."""
    admitted = come(desk)
    assert isinstance(admitted, Admitted)
    return admitted


def at_desk(path: Path, **limits: int) -> tuple[Service, Desk]:
    """A service that lets requests in, and its desk."""
    service = trusted(path, **limits)
    return service, Desk(service, service.settings)


def refused_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Service, Desk]:
    """A desk that refused one request, and has had no reason for it since; what it said holds for ever."""
    monkeypatch.setattr("app.wire.desk._REFUSAL_KEPT_S", 1e6)
    service, desk = at_desk(path)
    service.judge.fault = "a test says so"
    assert isinstance(come(desk), Refused)
    service.judge.fault = None
    return service, desk


def test_a_kept_refusal_does_not_keep_the_one_before(
    checkpoint_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under an overload that lasts each would hold all before it, with the headers of their requests."""
    monkeypatch.setattr("app.wire.desk._REFUSAL_KEPT_S", 0.0)
    service, desk = at_desk(checkpoint_path)
    service.judge.fault = "a test says so"
    kept: list[weakref.ref[BaseException]] = []
    for _ in range(3):
        assert isinstance(come(desk), Refused)
        assert desk._kept is not None
        kept.append(weakref.ref(desk._kept.error))
    assert [error() is not None for error in kept] == [False, False, True]


def test_a_fault_of_ours_does_not_stay_in_memory(checkpoint_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is answered and logged, and goes, with the body that its frames hold."""
    _, desk = at_desk(checkpoint_path)

    async def break_down(*_: object) -> None:
        raise MemoryError

    async def check() -> None:
        admitted = let_in(desk)
        assert desk.receive(admitted, 5) is None
        with no_error_in_a_circle():
            reply = await desk.answer(admitted, b"12345", Caller(None, timeout_s=10.0), client="")
            assert reply.status == 500

    monkeypatch.setattr("app.wire.desk.reply_to", break_down)
    monkeypatch.setattr("app.wire.desk.log_request", lambda **_: None)  # what is logged here is kept for the test
    with_loop(check())


def test_who_is_on_the_way_takes_a_place(checkpoint_path: Path) -> None:
    """Two headers fill a service for two, though no body has come."""
    _, desk = at_desk(checkpoint_path, max_queue=2)
    let_in(desk)
    let_in(desk)
    refused = come(desk)
    assert isinstance(refused, Refused)
    assert b"2 pictures are in work or on their way" in refused.answer


def test_who_does_not_come_to_the_end_gives_the_place_back(checkpoint_path: Path) -> None:
    """And the bytes that had come, so that another can have both."""
    _, desk = at_desk(checkpoint_path, max_queue=2, max_bodies_bytes=5)
    let_in(desk)
    assert desk.receive(let_in(desk), 5) is None
    desk.drop(5)
    assert desk.receive(let_in(desk), 5) is None


def test_the_time_in_which_a_header_was_not_read_is_taken_off(checkpoint_path: Path) -> None:
    """Of the 10 s that were asked for a loop that is 2 s late has used up two."""
    service, desk = at_desk(checkpoint_path, deadline_ms=10_000)
    service.admission.lagged(2.0)
    assert let_in(desk).timeout_s == 8.0


def test_a_body_without_room_is_counted(checkpoint_path: Path) -> None:
    """As an answer of its path, and as a refusal."""
    service, desk = at_desk(checkpoint_path, max_bodies_bytes=4)
    refused = desk.receive(let_in(desk), 5)
    assert refused is not None
    assert refused.startswith(b"HTTP/1.1 503 ")
    assert {
        'glimpse_requests_total{route="/predict",status="503"} 1.0',
        'glimpse_refused_total{code="overloaded",reason="bodies_full"} 1.0',
    } <= shown(service)


def test_a_refusal_that_is_given_again_is_counted_again(
    checkpoint_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three who ask the same within its time are three answers and three refusals, and it is made once."""
    service, desk = refused_once(checkpoint_path, monkeypatch)
    for _ in range(2):
        assert isinstance(come(desk), Refused)
    assert {
        'glimpse_requests_total{route="/predict",status="503"} 3.0',
        'glimpse_refused_total{code="not_ready",reason="not_ready"} 3.0',
    } <= shown(service)


def test_a_refusal_is_given_again_on_its_own_path_alone(
    checkpoint_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks for something else is judged anew, however much time both have."""
    _, desk = refused_once(checkpoint_path, monkeypatch)
    assert isinstance(come(desk, b"/pixels"), Admitted)


@pytest.mark.parametrize("is_another_right", [True, False])
def test_who_would_be_answered_by_another_process_is_told_to_connect_again(
    checkpoint_path: Path, is_another_right: bool
) -> None:
    """A connection stays with the process that took it in; where all are wrong it is as good as any."""
    service, desk = at_desk(checkpoint_path)
    service.judge._find("it answers wrongly")
    desk.hear_of_others(is_another_right=is_another_right)
    refused = come(desk)
    assert isinstance(refused, Refused)
    assert refused.answer.startswith(b"HTTP/1.1 503 ")
    assert (b"\r\nconnection: close\r\n" in refused.answer) == is_another_right == refused.ends_connection
    assert not desk.is_right


def test_a_body_without_memory_is_counted_as_refused(checkpoint_path: Path) -> None:
    """It is the room that it lacks, as one that does not fit beside the others."""
    service, desk = at_desk(checkpoint_path)
    assert "a body of 1,234 bytes" in str(desk.no_memory(1_234))
    assert 'glimpse_refused_total{code="overloaded",reason="no_memory"} 1.0' in shown(service)
