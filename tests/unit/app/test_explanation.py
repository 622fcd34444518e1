"""Heat maps, on a network whose evidence is known."""

import asyncio
import contextlib
import dataclasses
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from starlette.requests import ClientDisconnect
from torch import Tensor, nn

from app.callers import Caller
from app.errors import EngineError, ExplanationUnavailableError, OverloadedError
from app.explanation import Explainer, Explanation, explained_stage, spread
from models.checkpoint import Checkpoint, load
from models.networks import ARCHITECTURES, Architecture, build
from models.networks.network import Stage
from models.preprocessing import Images, InputSpec
from tests.networks import Headless
from tests.unit.app.loops import no_error_in_a_circle, turns


class SeesRed(Headless):
    """Its only stage tells how red each of 8 × 8 places is."""

    def __init__(self, *, classes: int) -> None:
        super().__init__(classes=classes)
        self.stage = nn.Conv2d(3, 3, 4, stride=4, bias=False)
        with torch.no_grad():
            self.stage.weight.zero_()
            self.stage.weight[0, 0] = 1 / 16

    @property
    def stages(self) -> tuple[Stage, ...]:
        return (Stage(self.stage, 4, 2.0),)

    def red(self, images: Tensor) -> Tensor:
        """Of shape (batch, 8, 8)."""
        found: Tensor = self.stage(images.movedim(-1, 1).float() / 255)[:, 0]
        return found


class Reddest(SeesRed):
    """Class 0 is how red the reddest quarter of the picture is, class 1 the opposite, class 2 nothing at all."""

    def __init__(self) -> None:
        super().__init__(classes=3)

    def features(self, images: Tensor) -> Tensor:
        strongest = self.red(images).amax((1, 2))
        return torch.stack([strongest, -strongest, 0 * strongest], dim=1)


class LeftAgainstRight(SeesRed):
    """Class 0 is how red the left half is, less how red the right half is."""

    def __init__(self) -> None:
        super().__init__(classes=1)

    def features(self, images: Tensor) -> Tensor:
        left, right = self.red(images).chunk(2, dim=2)
        return torch.stack([left.sum((1, 2)) - right.sum((1, 2))], dim=1)


@pytest.fixture
def checkpoint(checkpoint_path: Path) -> Checkpoint:
    """A checkpoint of that network."""
    return dataclasses.replace(load(checkpoint_path), network=Reddest())


def _red_corner() -> Images:
    image = np.zeros((32, 32, 3), np.uint8)
    image[4:8, 24:28, 0] = 255
    return image


def test_the_heat_is_where_the_evidence_is(checkpoint: Checkpoint) -> None:
    """One red square: the map is 1 there, and cold in the half without it."""
    found = Explainer().draw(checkpoint, _red_corner(), 0)
    assert found.layer == "stage"
    assert found.heat.shape == (32, 32)
    assert found.heat.dtype == np.float32
    row, column = np.unravel_index(found.heat.argmax(), found.heat.shape)
    assert 4 <= row < 8
    assert 24 <= column < 28
    assert found.heat.max() == pytest.approx(1)
    assert not found.heat[:, :16].any()


def test_the_heat_lies_where_the_places_look() -> None:
    """A map that does not reach the right edge is not stretched to it; beyond its last place nothing changes."""
    maps = torch.zeros((1, 7, 7))
    maps[0, 3, 6] = 1.0
    heat = spread(maps, Stage(nn.Identity(), 4, 2.5), side=(32, 32), points=(32, 32))[0]
    assert heat.argmax().item() // 32 in {13, 14}, "14.5 pixels from the top, between two rows"
    assert (heat[13] == heat[13].max()).nonzero().flatten().tolist() == [26, 27, 28, 29, 30, 31], "from 26.5"
    assert not heat[:, :22].any()


@pytest.mark.parametrize("class_index", [1, 2])
def test_what_nothing_speaks_for_is_cold(checkpoint: Checkpoint, class_index: int) -> None:
    """Evidence against a class, or none at all, is no heat; nothing is divided by nothing."""
    assert not Explainer().draw(checkpoint, _red_corner(), class_index).heat.any()


def test_what_speaks_against_a_class_is_as_cold_as_what_says_nothing(checkpoint: Checkpoint) -> None:
    """Two red squares on grey, one for it and one against: only the one for it is warm."""
    image = np.full((32, 32, 3), 128, np.uint8)
    image[4:8, 4:8, 0] = image[4:8, 24:28, 0] = 255
    mixed = dataclasses.replace(checkpoint, network=LeftAgainstRight())
    heat = Explainer().draw(mixed, image, 0).heat
    assert heat.max() == heat[4:8, 4:8].max() == 1
    assert heat.min() == 0


def test_a_picture_of_the_mean_colour_has_no_heat(checkpoint: Checkpoint) -> None:
    """Evidence is what a place adds to that picture; grey is half of 255 here, and its red counts for nothing."""
    assert checkpoint.record.input.mean == (0.5, 0.5, 0.5)
    image = np.full((32, 32, 3), 128, np.uint8)
    mixed = dataclasses.replace(checkpoint, network=LeftAgainstRight())
    assert not Explainer().draw(mixed, image, 0).heat.any()
    image[4:8, 4:8, 0] = 255
    assert Explainer().draw(mixed, image, 0).heat[4:8, 4:8].max() == 1


def test_the_network_that_answers_is_left_alone(checkpoint: Checkpoint) -> None:
    """No hook, no gradient and no other mode reaches it."""
    checkpoint.network.requires_grad_(False).eval()
    Explainer().draw(checkpoint, _red_corner(), 0)
    for module in checkpoint.network.modules():
        assert not module._forward_hooks
        assert not module._backward_hooks
    assert all(weight.grad is None and not weight.requires_grad for weight in checkpoint.network.parameters())


def test_another_checkpoint_is_explained_by_its_own_network(checkpoint: Checkpoint) -> None:
    """After a reload the copy of the old network is not asked any more."""
    explainer = Explainer()
    explainer.draw(checkpoint, _red_corner(), 0)
    blind = Reddest()
    torch.nn.init.zeros_(blind.stage.weight)
    other = dataclasses.replace(checkpoint, network=blind, digest="sha256:other")
    assert not explainer.draw(other, _red_corner(), 0).heat.any()


def test_a_copy_of_a_replaced_network_is_not_kept(checkpoint: Checkpoint) -> None:
    """Also not by an explanation that ends after the reload."""
    explainer = Explainer()
    explainer.draw(checkpoint, _red_corner(), 0)
    explainer.keep_only("sha256:other")
    assert explainer.draw(checkpoint, _red_corner(), 0).heat.any()
    assert explainer._explained is None


@pytest.mark.parametrize(
    ("name", "side", "layer"),
    [("tutorial", 32, "conv2"), ("fast", 32, "groups.1"), ("fast", 96, "groups.2"), ("residual", 32, "groups.1")],
)
def test_the_layer_is_the_last_that_can_point(name: str, side: int, layer: str) -> None:
    """Of all stages the last whose map has six rows and columns; larger pictures allow a later one."""
    network = build(Architecture(name), classes=3, spec=InputSpec(height=side, width=side)).eval()
    chosen = explained_stage(network, torch.zeros((1, side, side, 3), dtype=torch.uint8))
    assert chosen.module is network.get_submodule(layer)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_network_can_be_explained(name: str, checkpoint: Checkpoint) -> None:
    """Each architecture has stages, and gives a map even where all of them are coarse."""
    torch.manual_seed(0)
    side = 16
    network = build(Architecture(name), classes=3, spec=InputSpec(height=side, width=side)).eval()
    image = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    found = Explainer().draw(dataclasses.replace(checkpoint, network=network), image, 1)
    assert found.heat.shape == (side, side)
    assert np.isfinite(found.heat).all()


def test_a_large_input_gets_a_map_of_bounded_size(checkpoint: Checkpoint) -> None:
    """64 rows and columns are enough, whatever the network eats."""
    found = Explainer().draw(checkpoint, np.zeros((224, 96, 3), np.uint8), 0)
    assert found.heat.shape == (64, 64)


def test_without_captum_the_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an optional extra."""
    monkeypatch.setitem(sys.modules, "captum", None)
    with pytest.raises(ExplanationUnavailableError, match=r"pip install captum"):
        Explainer().require_room()


def test_evidence_that_is_no_number_is_an_error(checkpoint: Checkpoint) -> None:
    """It is not told as no evidence."""
    assert isinstance(checkpoint.network, Reddest)
    torch.nn.init.constant_(checkpoint.network.stage.weight, float("nan"))
    with pytest.raises(EngineError, match="not a number"):
        Explainer().draw(checkpoint, _red_corner(), 0)


class SlowExplainer(Explainer):
    """Draws nothing until it may."""

    def __init__(self) -> None:
        super().__init__()
        self.began = threading.Event()
        self.may_go = threading.Event()
        self.drawn = 0

    def draw(self, checkpoint: Checkpoint, image: Images, class_index: int) -> Explanation:
        """Count."""
        self.began.set()
        assert self.may_go.wait(timeout=20)
        self.drawn += 1
        return super().draw(checkpoint, image, class_index)


def test_only_so_many_wait_and_who_left_is_not_drawn_for(checkpoint: Checkpoint) -> None:
    """The ninth is refused; callers who hang up make room, unless their picture is being drawn already."""

    async def run() -> None:
        explainer, image = SlowExplainer(), _red_corner()
        callers = [Caller(None, timeout_s=60) for _ in range(8)]
        asked = [asyncio.create_task(explainer.explain(checkpoint, image, 0, caller=caller)) for caller in callers]
        await asyncio.sleep(0)
        assert await asyncio.to_thread(explainer.began.wait, 20)
        with pytest.raises(OverloadedError, match="one is made at a time") as refused:
            explainer.require_room()
        assert refused.value.retry_after_s == 1
        for caller in callers[:4]:
            caller.hang_up()
        outcomes = await asyncio.gather(*asked[:4], return_exceptions=True)
        assert all(isinstance(outcome, ClientDisconnect) for outcome in outcomes)
        assert len(explainer._waiting) == 5  # the thread is still busy with the first
        explainer.may_go.set()
        await asyncio.gather(*asked[4:])
        while explainer._waiting:
            await asyncio.sleep(0)
        assert explainer.drawn == 5
        await explainer.close()

    asyncio.run(run())


def test_an_explanation_that_failed_does_not_stay_in_memory(checkpoint: Checkpoint) -> None:
    """Its frames hold the picture, and a copy of the network."""

    class Failing(Explainer):
        def draw(self, *_: object) -> Explanation:
            raise ZeroDivisionError

    async def run() -> None:
        explainer, image = Failing(), _red_corner()
        with no_error_in_a_circle():
            with contextlib.suppress(ZeroDivisionError):
                await explainer.explain(checkpoint, image, 0, caller=Caller(None, timeout_s=60))
            await turns()  # until then the loop holds what it woke this task with
        await explainer.close()

    asyncio.run(run())


def test_who_leaves_as_soon_as_they_wait_makes_room(checkpoint: Checkpoint) -> None:
    """In the very turn in which they began to: eight of these would keep everybody out for ever."""

    async def run() -> None:
        explainer, image = SlowExplainer(), _red_corner()
        busy = asyncio.create_task(explainer.explain(checkpoint, image, 0, caller=Caller(None, timeout_s=60)))
        await asyncio.sleep(0)
        for _ in range(8):
            gone = Caller(None, timeout_s=60)
            gone.hang_up()
            with pytest.raises(ClientDisconnect):
                await explainer.explain(checkpoint, image, 0, caller=gone)
        explainer.may_go.set()
        await busy
        while explainer.drawn < 1 or explainer._waiting:
            await asyncio.sleep(0)
        explainer.require_room()
        await explainer.close()

    async def within_time() -> None:
        async with asyncio.timeout(20):
            await run()

    asyncio.run(within_time())


def test_what_waits_at_the_end_is_dropped(checkpoint: Checkpoint) -> None:
    """A stop waits for the map in work alone."""

    async def run() -> None:
        explainer, image = SlowExplainer(), _red_corner()
        callers = [Caller(None, timeout_s=60) for _ in range(3)]
        asked = [asyncio.create_task(explainer.explain(checkpoint, image, 0, caller=caller)) for caller in callers]
        await asyncio.sleep(0)
        assert explainer.began.wait(timeout=20)
        closing = asyncio.create_task(explainer.close())
        await asyncio.wait(asked[1:], timeout=20)
        explainer.may_go.set()
        await closing
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        assert explainer.drawn == 1
        assert [isinstance(outcome, Explanation) for outcome in outcomes] == [True, False, False]

    asyncio.run(run())
