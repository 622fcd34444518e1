"""The small network that picks what the large one learns from."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from models.networks import Architecture, build
from models.networks.residual import ResidualNetwork
from models.preprocessing import InputSpec
from training.data.sampling import draw_evenly
from training.devices import Computing
from training.learner import Learner, make_learner
from training.ranks import ALONE
from training.recipes import ACCURATE, LargeBatchRecipe, Selection
from training.schedule import factor
from training.selection import Selector, make_selector

SPEC = InputSpec()
COMPUTING = Computing(torch.device("cpu"), torch.float32)
PICTURES, BATCH = 64, 16


def _recipe(selection: Selection | None) -> LargeBatchRecipe:
    return replace(
        ACCURATE,
        architecture=Architecture("residual", {"widths": [8, 8, 8]}),
        batch_size=BATCH,
        stem_pictures=PICTURES,
        selection=selection,
    )


def _images() -> Tensor:
    return torch.randint(0, 256, (PICTURES, 32, 32, 3), generator=torch.Generator().manual_seed(0)).byte()


def _look(index: Tensor) -> tuple[Tensor, Tensor]:
    return _images()[index], index % 3


def _selector(table: Selection) -> Selector:
    torch.manual_seed(0)
    selector = make_selector(_recipe(table), _images(), classes=3, spec=SPEC, computing=COMPUTING, ranks=ALONE)
    assert selector is not None
    return selector


def _learner(table: Selection | None) -> Learner:
    torch.manual_seed(1)
    recipe = _recipe(table)
    network = build(recipe.architecture, classes=3, spec=SPEC)
    selector = None if table is None else _selector(table)
    return make_learner(recipe, network, pictures=PICTURES, selector=selector, computing=COMPUTING, ranks=ALONE)


def _weights(selector: Selector) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in selector.student.network.named_parameters()}


def test_the_pictures_with_the_largest_losses_are_picked_in_the_order_of_the_batch() -> None:
    """A quarter of a shuffled batch is picked, and no picture that was left has a larger loss than one of it."""
    selector = _selector(Selection(share=0.25, widths=(4, 4, 4), learns_every=4))
    index = torch.randperm(PICTURES, generator=torch.Generator().manual_seed(3))[:BATCH]
    images, wanted = _look(index)
    with torch.no_grad():
        losses = selector.student.losses(images, wanted)
    picked = selector.pick(index, _look, step=1, steps=100)
    is_picked = torch.isin(index, picked)
    assert torch.equal(picked, index[is_picked])
    assert len(picked) == BATCH // 4
    assert losses[is_picked].min() >= losses[~is_picked].max()


def test_it_learns_at_every_fourth_step_only_with_the_rates_of_the_large_network() -> None:
    """Steps between leave the weights, and the schedule goes on at each."""
    selector = _selector(Selection(widths=(4, 4, 4), learns_every=4))
    learnt_at = []
    for step in range(9):
        before = _weights(selector)["head.weight"]
        selector.pick(torch.arange(BATCH), _look, step=step, steps=10)
        if not torch.equal(before, _weights(selector)["head.weight"]):
            learnt_at.append(step)
        for group in selector.student.optimizers[0].param_groups:
            assert group["lr"] == pytest.approx(
                group["highest_lr"] * factor(selector.student.recipe.schedule, step / 10)
            )
    assert learnt_at == [0, 4, 8]


def test_it_learns_from_what_it_picked() -> None:
    """The head's gradient is that of the picked pictures, while the norms see all of the batch."""
    table = Selection(widths=(4, 4, 4), learns_every=4)
    selector, by_hand = _selector(table), _selector(table)
    index = torch.arange(BATCH)
    picked = selector.pick(index, _look, step=4, steps=100)
    images, wanted = _look(index)
    losses = by_hand.student.losses(images, wanted)
    losses[torch.isin(index, picked)].sum().backward()
    learnt = selector.student.network.get_parameter("head.weight").grad
    expected = by_hand.student.network.get_parameter("head.weight").grad
    assert learnt is not None
    assert expected is not None
    torch.testing.assert_close(learnt, expected)


def test_the_learner_tells_it_the_step() -> None:
    """It learns at every second of the learner's steps, at the rates of the last."""
    learner = _learner(Selection(widths=(4, 4, 4), learns_every=2))
    assert learner.selector is not None
    learnt_at = []
    for step in range(4):
        before = _weights(learner.selector)["head.weight"]
        learner.learn(*_look(learner.choose(torch.arange(BATCH), _look)))
        if not torch.equal(before, _weights(learner.selector)["head.weight"]):
            learnt_at.append(step)
    assert learnt_at == [0, 2]
    wanted = factor(learner.recipe.schedule, 3 / learner.steps)
    for group in learner.selector.student.optimizers[0].param_groups:
        assert group["lr"] == pytest.approx(group["highest_lr"] * wanted)


def test_a_learner_without_selection_learns_from_the_whole_batch() -> None:
    """The index goes through as it came."""
    learner, index = _learner(None), torch.arange(BATCH)
    assert learner.choose(index, _look) is index
    assert learner.pictures_learnt == BATCH


def test_a_learner_goes_on_with_its_selector_where_its_state_was_taken() -> None:
    """After a restored state both networks make the steps that they would have made."""
    table = Selection(widths=(4, 4, 4), learns_every=2)
    straight, first, second = (_learner(table) for _ in range(3))

    def steps(learner: Learner, *batches: int) -> None:
        for start in batches:
            index = torch.arange(start, start + BATCH)
            learner.learn(*_look(learner.choose(index, _look)))

    steps(straight, 0, 16, 32, 48, 0)
    steps(first, 0, 16, 32)
    second.restore(first.state())
    steps(second, 48, 0)  # the small network learns at the last one, with its momentum
    for name, tensor in straight.student.network.state_dict().items():
        assert torch.equal(second.student.network.state_dict()[name], tensor), name
    assert second.selector is not None
    assert straight.selector is not None
    for name, tensor in straight.selector.student.network.state_dict().items():
        assert torch.equal(second.selector.student.network.state_dict()[name], tensor), name


def test_the_loss_is_told_per_picture_that_was_learnt() -> None:
    """Half a batch is learnt, and the loss is its mean."""
    learner = _learner(Selection(widths=(4, 4, 4)))
    assert learner.pictures_learnt == BATCH // 2
    chosen = learner.choose(torch.arange(BATCH), _look)
    images, wanted = _look(chosen)
    with torch.no_grad():
        expected = learner.student.losses(images, wanted).mean()
    assert learner.learn(images, wanted).item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize(("batch_size", "count"), [(1024, 512), (33, 16), (2, 2), (1, 1)])
def test_at_least_two_pictures_of_a_batch_are_learnt(batch_size: int, count: int) -> None:
    """The share is rounded to whole pictures; a batch norm of one has no spread."""
    assert Selection().pictures_of(batch_size) == count


def test_its_stem_sees_pictures_from_all_over_the_data_set() -> None:
    """As the large network's: the first ones of a folder show one class."""
    recipe = replace(_recipe(Selection(widths=(4, 4, 4))), stem_pictures=8)
    selector = make_selector(recipe, _images(), classes=3, spec=SPEC, computing=COMPUTING, ranks=ALONE)
    expected = ResidualNetwork(classes=3, spec=SPEC)
    expected.fit_stem(_images()[draw_evenly(PICTURES, count=8, seed=0)])
    assert selector is not None
    assert torch.equal(selector.student.network.get_parameter("stem.weight"), expected.stem.weight)


def test_a_recipe_without_selection_has_no_selector() -> None:
    """Then there is no small network."""
    assert make_selector(_recipe(None), _images(), classes=3, spec=SPEC, computing=COMPUTING, ranks=ALONE) is None
