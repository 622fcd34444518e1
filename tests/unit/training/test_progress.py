"""What a run says while it runs."""

import io

from rich.console import Console

from training.progress import RunProgress, printable, tell


def _run(*, terminal: bool) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=120)
    seconds = iter(range(0, 1000, 10))
    with RunProgress(console, steps=6, clock=lambda: float(next(seconds))) as progress:
        for step in range(6):
            progress.step(place=f"epoch {step // 3 + 1}/2", pictures=50, loss=2.0 - step / 10)
        progress.say("[1,  2000] loss: 2.2")
    return out.getvalue()


def test_without_a_terminal_there_are_plain_lines() -> None:
    """After the first step, soon after it and every 15 s: epoch, step, loss, pictures per second, time left."""
    text = _run(terminal=False)
    assert "\x1b" not in text
    assert text.rstrip().splitlines() == [
        "epoch 1/2 · step 1/6 · loss 2.000 · 5 pictures/s",
        "epoch 1/2 · step 2/6 · loss 1.900 · 5 pictures/s · 0:00:40 left",
        "epoch 2/2 · step 4/6 · loss 1.700 · 5 pictures/s · 0:00:20 left",
        "epoch 2/2 · step 6/6 · loss 1.500 · 5 pictures/s · 0:00:00 left",
        "[1,  2000] loss: 2.2",
    ]


def test_the_accuracy_on_held_out_pictures_stands_beside_the_loss() -> None:
    """Once it is known."""
    out = io.StringIO()
    seconds = iter(range(0, 1000, 20))
    with RunProgress(Console(file=out, width=120), steps=2, clock=lambda: float(next(seconds))) as progress:
        progress.step(place="epoch 1/2", pictures=40, loss=2.0)
        progress.step(place="epoch 1/2", pictures=40, loss=1.5, held_out=0.875)
    assert out.getvalue().splitlines() == [
        "epoch 1/2 · step 1/2 · loss 2.000 · 2 pictures/s",
        "epoch 1/2 · step 2/2 · loss 1.500 · held out 87.5 % · 2 pictures/s · 0:00:00 left",
    ]


def test_the_first_step_is_no_measure_of_the_others() -> None:
    """It took 30 s, and each of the others 4: of these nine are left."""
    out = io.StringIO()
    seconds = iter([0.0, 30.0, *(34.0 + 4 * step for step in range(9))])
    with RunProgress(Console(file=out, width=120), steps=20, done=9, clock=lambda: next(seconds)) as progress:
        for _ in range(2):
            progress.step(place="epoch 1/2", pictures=40)
    assert out.getvalue().splitlines()[1].endswith(" · step 11/20 · 2 pictures/s · 0:00:36 left")


def test_a_terminal_gets_a_bar_and_lines_above_it() -> None:
    """The bar is drawn with control codes, shows loss and rate, and plain progress lines are not printed."""
    text = _run(terminal=True)
    assert "\x1b" in text
    assert "loss 1.500" in text
    assert "pictures/s" in text
    assert "[1,  2000] loss: 2.2" in text
    assert "step 1/6" not in text


def test_a_name_does_not_steer_the_terminal() -> None:
    """A picture's name may hold what clears the screen; letters, joiners and blanks of any language stay."""
    assert printable("\x1b[2Jevil\u202e.jpg\n") == r"\x1b[2Jevil\u202e.jpg\n"
    for name in (
        "zwei Wörter\t猫",
        "\U0001f468\u200d\U0001f467",
        "\u0645\u06cc\u200c\u062e\u0648",
        "3.14\u202fPM.png",
    ):
        assert printable(name) == name
    assert printable("cat") == "cat"
    out = io.StringIO()
    tell(Console(file=out), "skipped \x1b[2Jevil.jpg")
    assert out.getvalue() == "skipped \\x1b[2Jevil.jpg\n"
