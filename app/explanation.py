"""What a score rests on: a heat map over the pixels that the network saw.

Integrated gradients of a late layer: what each place adds to the class on the way from a picture of the mean
colour to this one. By captum, which is an optional extra; everything else works without it. Grad-CAM, the usual
choice, points no better than chance in this project's networks (docs/experiments.md).
"""

import asyncio
import copy
import functools
import gc
import importlib.util
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from app.callers import Caller
from app.errors import EngineError, ExplanationUnavailableError, OverloadedError
from app.threads import end_threads
from models.checkpoint import Checkpoint
from models.networks.network import Network, Stage
from models.preprocessing import Images

METHOD = "integrated gradients"
_STEPS = 8
"""Pictures on that way at which gradients are taken; 16 and 32 name no better places (docs/experiments.md)."""
_FEWEST_PLACES = 6
"""Fewest rows and columns of the layer that is looked at: 3 × 3, as a small network's last, show no place."""
_MOST_WAITING = 8
"""Most explanations that wait for the one thread; each takes some hundredths of a second."""
_MOST_PLACES = 64
"""Most rows and columns of a heat map; a browser smooths it over any picture."""


@dataclass(frozen=True)
class Explanation:
    """Where in the pixels the evidence for one class is.

    Attributes:
        layer: name of the layer in the network.
        heat: float32 (rows, columns), 0…1 with 1 at the strongest place; all 0 where nothing speaks for the class.
    """

    layer: str
    heat: npt.NDArray[np.float32]


class _Explained(NamedTuple):
    """A copy of a checkpoint's network, made once, and the layer of it that is looked at.

    Attributes:
        digest: the checkpoint's, "sha256:" and 64 hexadecimal digits.
        network: the copy: captum's hooks must not reach the network that answers.
        stage: of the copy.
        name: of its module in the copy.
    """

    digest: str
    network: Network
    stage: Stage
    name: str


class Explainer:
    """Explains one picture at a time, on one core."""

    def __init__(self) -> None:
        # torch keeps the number of its threads for each thread that calls it
        self._thread = ThreadPoolExecutor(1, "explain", initializer=partial(torch.set_num_threads, 1))
        self._waiting: set[Future[Explanation]] = set()
        self._explained: _Explained | None = None
        self._served_digest: str | None = None  # None means that none was replaced yet

    def require_room(self) -> None:
        """Do nothing while another explanation can be asked for.

        Raises:
            ExplanationUnavailableError: captum is not installed.
            OverloadedError: too many wait already.
        """
        if importlib.util.find_spec("captum") is None:
            raise ExplanationUnavailableError(
                "Explanations need the package captum, which is not installed where the service runs. The "
                "operator adds it with: pip install captum. Everything else works without it."
            )
        if len(self._waiting) >= _MOST_WAITING:
            raise OverloadedError(
                f"{_MOST_WAITING} explanations are asked for already, and one is made at a time. Come back after "
                "Retry-After seconds.",
                retry_after_s=1,
                reason="explanations_full",
            )

    async def explain(
        self, checkpoint: Checkpoint, image: Images, class_index: int, *, caller: Caller
    ) -> Explanation:
        """Draw a heat map when its turn comes.

        Args:
            checkpoint: the one whose network saw the picture.
            image: uint8 (height, width, 3), as `models.preprocessing.to_images` gives it.
            class_index: 0…classes − 1.
            caller: whoever waits for the answer.

        Raises:
            ExplanationUnavailableError: captum is not installed.
            OverloadedError: too many wait already.
            EngineError: the evidence is not finite.
            DeadlineError: the caller's time is over.
            ClientDisconnect: nobody waits any more.
        """
        self.require_room()
        drawing = self._thread.submit(self.draw, checkpoint, image, class_index)
        self._waiting.add(drawing)
        drawing.add_done_callback(self._waiting.discard)  # not when the caller leaves: it keeps the thread busy
        try:
            return await caller.wait(asyncio.wrap_future(drawing))
        finally:
            drawing.cancel()  # whoever leaves in the turn of the event loop that began to wait has not done so yet
            del drawing  # an error passes this frame, which must not hold it

    async def close(self) -> None:
        """End the thread, unless it hangs; what waits for it is dropped."""
        await end_threads(self._thread)

    def keep_only(self, digest: str) -> None:
        """Let go of the copy of a network that does not answer any more; called on the event loop.

        Args:
            digest: of the checkpoint that answers now.
        """
        self._served_digest = digest
        self._explained = None

    def draw(self, checkpoint: Checkpoint, image: Images, class_index: int) -> Explanation:
        """Draw the heat map of one class; one thread at a time.

        Args:
            checkpoint: the one whose network saw the picture.
            image: uint8 (height, width, 3), as `models.preprocessing.to_images` gives it.
            class_index: 0…classes − 1.

        Raises:
            EngineError: the evidence is not finite.
        Source:
            Sundararajan et al., arXiv 1703.01365.
        """
        attribution = _integrated_gradients()
        images = torch.from_numpy(image[None]).to(next(checkpoint.network.parameters()).device)
        explained = self._explained
        if explained is None or explained.digest != checkpoint.digest:
            explained = _prepare(checkpoint, images)
            self._explained = explained if self._served_digest in (None, explained.digest) else None
        mean = torch.tensor(checkpoint.record.input.mean, device=images.device).mul(255).round().to(torch.uint8)
        evidence = attribution(explained.network, explained.stage.module).attribute(
            images, baselines=mean.expand_as(images), target=class_index, n_steps=_STEPS
        )
        height, width = image.shape[:2]
        return Explanation(explained.name, _to_heat(evidence, explained.stage, height=height, width=width))


def _prepare(checkpoint: Checkpoint, images: Tensor) -> _Explained:
    network = copy.deepcopy(checkpoint.network).requires_grad_(True).eval()
    stage = explained_stage(network, images)
    name = next(name for name, module in network.named_modules() if module is stage.module)
    return _Explained(checkpoint.digest, network, stage, name)


@functools.cache
def _integrated_gradients() -> Callable[[nn.Module, nn.Module], Any]:
    """Import what only explanations need: half a second, and matplotlib with it."""
    from captum.attr import LayerIntegratedGradients  # noqa: PLC0415 - an extra, and not for the start

    gc.freeze()  # as after the start: looking through all that came with it would stop requests
    found: Callable[[nn.Module, nn.Module], Any] = LayerIntegratedGradients
    return found


@torch.no_grad()
def explained_stage(network: Network, images: Tensor) -> Stage:
    """Choose the last of a network's stages whose map is fine enough to point at something, else its finest.

    Args:
        network: in evaluation mode.
        images: uint8 (1, height, width, 3).
    """
    places: dict[nn.Module, int] = {}

    def note(module: nn.Module, _: object, out: Tensor) -> None:
        places[module] = min(out.shape[-2:])

    handles = [stage.module.register_forward_hook(note) for stage in network.stages]
    try:
        network(images)
    finally:
        for handle in handles:
            handle.remove()
    fine = [stage for stage in network.stages if places[stage.module] >= _FEWEST_PLACES]
    return fine[-1] if fine else max(network.stages, key=lambda stage: places[stage.module])


def spread(maps: Tensor, stage: Stage, *, side: tuple[int, int], points: tuple[int, int]) -> Tensor:
    """Lay maps over the images that they are of.

    Between the middles of what two places see it is interpolated, beyond the outermost it stays as it is there.

    Args:
        maps: (n, rows, columns), what the stage gave, or is worth.
        stage: of the network.
        side: height and width of the images, in pixels.
        points: rows and columns to make.

    Returns:
        (n, rows, columns), as many as were asked for, float32.
    """
    rows, columns = (_shares(*of, stage) for of in zip(maps.shape[1:], side, points, strict=True))
    return rows @ maps.float() @ columns.T


def _shares(places: int, side: int, points: int, stage: Stage) -> Tensor:
    """How much each point along one side takes of each place: (points, places)."""
    at = (np.arange(points) + 0.5) * side / points
    middles = stage.first + stage.stride * np.arange(places)
    shares = np.stack([np.interp(at, middles, only) for only in np.eye(places)], axis=1)
    return torch.from_numpy(shares.astype(np.float32))


def _to_heat(evidence: Tensor, stage: Stage, *, height: int, width: int) -> npt.NDArray[np.float32]:
    """Add up evidence (1, channels, rows, columns) at each place, and bring what speaks for the class to 0…1."""
    found = evidence.detach().float().cpu().sum(1).clamp_min(0)
    points = (min(height, _MOST_PLACES), min(width, _MOST_PLACES))
    heat = spread(found, stage, side=(height, width), points=points)[0]
    strongest = heat.max()
    if not torch.isfinite(strongest):
        raise EngineError("The evidence for a class is not a number.")
    return (heat / strongest if strongest > 0 else torch.zeros_like(heat)).numpy()
