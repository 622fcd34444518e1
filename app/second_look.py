"""A second look at pictures of which the network is not sure: more views, while there is time for them.

Off unless `GLIMPSE_SECOND_LOOK` is `on`: a picture that would be abstained from then costs six runs instead of one
(docs/experiments.md, 2026-11-27). One that is too far from all classes, too: it is abstained from in any case, but
most labels that a second look mends are those of such pictures.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import numpy as np

from app.admission import Admission
from app.batches.runs import Result
from app.callers import Caller
from app.metrics import Instruments
from models.checkpoint import Checkpoint
from models.errors import GlimpseError
from models.preprocessing import Answers, Images
from models.views import shows_mirror_images, six_views, together

_SHARE_OF_TIME = 0.5
"""Of what is left of a caller's time: an answer that is there must not be held until it is too late. Source:
choice."""


class SecondLook:
    """Asks the network for other views of a picture, and joins what it says to all of them.

    Args:
        admission: asked whether there is time.
        metrics: told how often a picture was looked at again, or was to be and was not.
    """

    def __init__(self, admission: Admission, metrics: Instruments) -> None:
        self._admission = admission
        self._looks = metrics.second_looks

    async def join(
        self,
        first: Answers,
        image: Images,
        checkpoint: Checkpoint,
        caller: Caller,
        run: Callable[[Images], Awaitable[Result]],
    ) -> Answers:
        """Give the answer to a picture: the first one if it is sure, else that of all views.

        Where there is no time for more views, or one of them fails, the first answer is the best that there is.

        Args:
            first: probabilities, then perhaps the distance.
            image: uint8 (height, width, 3).
            checkpoint: that answers.
            caller: whoever waits.
            run: runs one view.

        Raises:
            ClientDisconnect: nobody waits any more.
        """
        probabilities, distance = checkpoint.read(first)
        if not checkpoint.record.calibration.abstains(float(probabilities.max()), distance):
            return first
        mirrors = shows_mirror_images(checkpoint.record.training.configuration)
        (weight, _), *others = six_views(image[None], mirrors=mirrors)
        if not self._admission.has_room(pictures=len(others), within_s=caller.left_s):
            self._looks.labels("skipped").inc()
            return first
        found: list[Result | BaseException] = []
        # Counted before anything is awaited: all pictures of a run come here in one turn of the event loop.
        with self._admission.picture(len(others)), contextlib.suppress(TimeoutError):
            async with asyncio.timeout(caller.left_s * _SHARE_OF_TIME):
                found = await asyncio.gather(
                    *(run(np.ascontiguousarray(view[0])) for _, view in others), return_exceptions=True
                )
        results = [one for one in found if isinstance(one, Result)]
        if len(results) < len(others):
            _raise_all_but_ours(found)
            self._looks.labels("skipped").inc()
            return first
        self._looks.labels("taken").inc()
        weights = [weight, *(part for part, _ in others)]
        return together(np.stack([first, *(one.answers for one in results)]), weights, classes=len(probabilities))


def _raise_all_but_ours(found: list[Result | BaseException]) -> None:
    """Raise what is no refusal and no failure of the engine: a caller who hung up, or a fault of our own."""
    fault = next(
        (one for one in found if isinstance(one, BaseException) and not isinstance(one, GlimpseError)), None
    )
    found.clear()  # the frames that an error passes must not hold it: it would stay, with the caller's body
    try:
        if fault is not None:
            raise fault
    finally:
        del fault
