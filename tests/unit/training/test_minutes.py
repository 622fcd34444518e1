"""The passes that fit into some minutes; here a second is a row of pixels that a network has seen."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from models.networks import Architecture
from models.networks.network import Network
from models.preprocessing import InputSpec
from training.data.dataset import Dataset, Split
from training.devices import Computing
from training.minutes import choose_epochs
from training.plan import Plan
from training.recipes import ACCURATE, FAST, LargeBatchRecipe, Selection

COMPUTING = Computing(torch.device("cpu"), torch.float32)
NOISE = torch.randint(0, 256, (12, 32, 32, 3), generator=torch.Generator().manual_seed(0)).byte()
SPLIT = Split(NOISE, torch.arange(12) % 3)
SMALL = replace(FAST, architecture=Architecture("fast", {"widths": (4, 4, 4)}), batch_size=4, epochs=5)
"""Three steps a pass, of 24, 28 or 32 rows each."""


def _plan(recipe: LargeBatchRecipe) -> Plan:
    dataset = Dataset("made", ("a", "b", "c"), SPLIT, SPLIT)
    spec = InputSpec(mean=recipe.mean, std=recipe.std)
    return Plan(dataset, recipe, spec, configuration={}, start=None, wanted=None, commit="")


class _Watch:
    """A clock that moves when a network sees pictures, by their rows in seconds.

    Attributes:
        seen: rows of the pictures, forward pass by forward pass.
        takes_s: seconds of a forward pass, of these rows.
    """

    def __init__(self) -> None:
        self.now_s = 0.0
        self.seen: list[int] = []
        self.takes_s: Callable[[list[int]], float] = lambda seen: seen[-1]

    def __call__(self) -> float:
        return self.now_s

    def look(self, module: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        """Move on, if the module is a whole network."""
        if isinstance(module, Network):
            self.seen.append(given[0].shape[1])
            self.now_s += self.takes_s(self.seen)


@pytest.fixture
def watch() -> Iterator[_Watch]:
    """One that sees every network of this test."""
    watch = _Watch()
    handle = register_module_forward_pre_hook(watch.look)
    yield watch
    handle.remove()


def _choose(watch: _Watch, minutes: float, recipe: LargeBatchRecipe = SMALL) -> tuple[int, str]:
    """The number of passes, and the last sentence about it."""
    told: list[str] = []
    epochs = choose_epochs(_plan(recipe), minutes, seed=0, computing=COMPUTING, tell=told.append, clock=watch)
    assert told[0] == "a few steps are timed first"
    return epochs, told[-1]


@pytest.mark.parametrize(("minutes", "epochs"), [(7.21, 5), (7.19, 4), (5.81, 4), (5.79, 3)])
def test_passes_fit_into_the_minutes(watch: _Watch, minutes: float, epochs: int) -> None:
    """Each at its resolution in a run of that many: five are 3 · (24 + 28 + 28 + 32 + 32) seconds, 7.2 minutes."""
    assert _choose(watch, minutes)[0] == epochs


def test_what_is_chosen_is_told_as_it_can_be_typed(watch: _Watch) -> None:
    """With what a pass takes, and with what the recipe would have made."""
    told = "--minutes 7.21 comes to --epochs 5: a pass takes about 86 s here (the recipe's own number is 5)"
    assert _choose(watch, 7.21) == (5, told)


def test_a_pass_is_made_even_if_it_takes_longer(watch: _Watch) -> None:
    """Whoever asks for too little gets the least there is, and is told."""
    told = "--minutes 0.5 comes to --epochs 1: a pass takes about 84 s here, which is longer (the recipe's own"
    epochs, sentence = _choose(watch, 0.5)
    assert epochs == 1
    assert sentence.startswith(told)


def test_no_more_than_four_times_the_recipes_own_passes_are_made(watch: _Watch) -> None:
    """Of few pictures an hour would be a thousand passes, by which they are learnt by heart."""
    epochs, sentence = _choose(watch, 60)
    assert epochs == 20
    told = r"--minutes 60 comes to --epochs 20, 4 times the recipe's own 5, and no more: about (\d+) minutes"
    found = re.fullmatch(told, sentence)
    assert found is not None
    assert found[1] == "28"  # 3 · (6 · 24 + 6 · 28 + 8 · 32) seconds


def test_first_steps_and_disturbed_laps_do_not_count(watch: _Watch) -> None:
    """Memory and kernels are got once for each resolution; and of five laps two may be disturbed."""

    def quick_s(seen: list[int]) -> float:
        return seen[-1] / 1_000

    def disturbed_s(seen: list[int]) -> float:
        return quick_s(seen) + 0.5 * (seen.count(seen[-1]) in {1, 3, 4})

    long = replace(SMALL, epochs=500)
    watch.takes_s = disturbed_s
    disturbed = _choose(watch, 2.3, long)
    watch.takes_s = quick_s
    assert disturbed == _choose(watch, 2.3, long)


@pytest.mark.parametrize(("minutes", "passes"), [(1, [2, 2, 2]), (60, [3, 3, 2]), (1_000, [6, 6, 6])])
def test_timing_takes_a_twentieth_of_the_minutes(watch: _Watch, minutes: float, passes: list[int]) -> None:
    """A third of it at each resolution; a step and a lap at least, and never more than five laps."""
    _choose(watch, minutes)
    assert [watch.seen.count(rows) for rows in (24, 28, 32)] == passes


@pytest.mark.parametrize(("minutes", "epochs"), [(0.51, 8), (0.49, 7)])
def test_what_a_selector_does_in_turn_is_timed_whole(watch: _Watch, minutes: float, epochs: int) -> None:
    """It learns at one step of four: here each step takes a second, and that one two."""
    recipe = replace(
        ACCURATE,
        architecture=Architecture("residual", {"widths": (4, 4, 4)}),
        batch_size=4,
        epochs=10,
        selection=Selection(widths=(4, 4, 4)),
    )
    watch.takes_s = lambda _: float(torch.is_grad_enabled())
    assert _choose(watch, minutes, recipe)[0] == epochs


def test_teachers_are_asked_as_they_will_be(watch: _Watch) -> None:
    """Whose answers take most of a step."""

    def answer(_: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        watch.now_s += 100
        return SPLIT.targets[index]

    plan = replace(_plan(SMALL), wanted=answer)
    options: dict[str, Any] = {"seed": 0, "computing": COMPUTING, "tell": lambda _: None, "clock": watch}
    assert choose_epochs(plan, 7.2 + 25 + 0.01, **options) == 5
    assert choose_epochs(plan, 7.2 + 25 - 0.01, **options) == 4


def test_no_random_number_is_taken_from_anybody(watch: _Watch) -> None:
    """The networks that are timed draw their weights from a generator that is put back."""
    torch.manual_seed(3)
    before = torch.get_rng_state()
    _choose(watch, 1)
    assert torch.equal(torch.get_rng_state(), before)
