"""Ctrl-C is obeyed between steps."""

import os
import signal
import threading
from types import SimpleNamespace

import pytest

from training.interrupts import Terminated, interrupts_between_steps, sigterm_at_once


def test_an_interrupt_waits_for_the_end_of_the_step() -> None:
    """The step goes on after Ctrl-C, and ends the run when it is done."""
    done = []
    with pytest.raises(KeyboardInterrupt), interrupts_between_steps() as interrupts:  # noqa: PT012 - the order counts
        interrupts.obey()
        os.kill(os.getpid(), signal.SIGINT)
        done.append("rest of the step")
        interrupts.obey()
        done.append("next step")
    assert done == ["rest of the step"]


def test_an_interrupt_in_the_last_step_is_not_lost() -> None:
    """Nothing asks after it any more, and it is raised all the same."""
    with pytest.raises(KeyboardInterrupt), interrupts_between_steps():
        os.kill(os.getpid(), signal.SIGINT)


def test_a_second_interrupt_is_obeyed_at_once() -> None:
    """Whoever presses twice means it."""
    done = []
    with pytest.raises(KeyboardInterrupt), interrupts_between_steps():  # noqa: PT012 - the order counts
        os.kill(os.getpid(), signal.SIGINT)
        done.append("after the first")
        os.kill(os.getpid(), signal.SIGINT)
        done.append("after the second")
    assert done == ["after the first"]


@pytest.mark.parametrize(("pause_s", "done"), [(0.9, ["first", "second"]), (1.1, ["first"])])
def test_an_echo_of_sigterm_is_no_second_one(
    monkeypatch: pytest.MonkeyPatch, pause_s: float, done: list[str]
) -> None:
    """Supervisors tell all processes, and the first of them repeats it; the step is done, and its state saved."""
    now_s = iter((100.0, 100.0 + pause_s))
    monkeypatch.setattr("training.interrupts.time", SimpleNamespace(monotonic=lambda: next(now_s)))
    told = []
    with pytest.raises(Terminated), interrupts_between_steps():  # noqa: PT012 - the order counts
        os.kill(os.getpid(), signal.SIGTERM)
        told.append("first")
        os.kill(os.getpid(), signal.SIGTERM)
        told.append("second")
    assert told == done


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # the child only counts its signals
def test_a_forked_process_leaves_interrupts_to_its_parent() -> None:
    """However often they come, it goes on; here it ends with 7 of its own will."""
    with interrupts_between_steps():
        child = os.fork()
        if child == 0:  # nothing of pytest's may run in here
            for _ in range(3):
                os.kill(os.getpid(), signal.SIGINT)
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_the_handler_before_comes_back() -> None:
    """Whatever was there."""
    before = signal.getsignal(signal.SIGINT)
    with interrupts_between_steps():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_outside_of_the_steps_sigterm_is_obeyed_at_once() -> None:
    """The work ends where it is; then whatever handler was there is back."""
    before = signal.getsignal(signal.SIGTERM)
    done = []
    with pytest.raises(Terminated), sigterm_at_once():  # noqa: PT012 - the order counts
        done.append("before")
        os.kill(os.getpid(), signal.SIGTERM)
        done.append("after")
    assert done == ["before"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_steps_hold_back_what_is_obeyed_at_once_around_them() -> None:
    """And after them it is obeyed at once again."""
    done = []
    with pytest.raises(Terminated), sigterm_at_once():  # noqa: PT012 - the order counts
        with interrupts_between_steps():
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        done.append("after")
    with pytest.raises(Terminated), sigterm_at_once(), interrupts_between_steps():  # noqa: PT012 - the order counts
        os.kill(os.getpid(), signal.SIGTERM)
        done.append("rest of the step")
    assert done == ["rest of the step"]


def test_a_thread_may_train_too() -> None:
    """Only the main thread may set handlers; another one trains without."""
    faults: list[Exception] = []

    def work() -> None:
        try:
            with sigterm_at_once(), interrupts_between_steps() as interrupts:
                interrupts.obey()
        except Exception as fault:  # noqa: BLE001 - handed to the test
            faults.append(fault)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not faults
