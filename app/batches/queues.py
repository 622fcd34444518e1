"""The pictures that wait for an engine, and which of them are run together."""

import threading
from collections import deque
from collections.abc import Sequence
from itertools import takewhile

import numpy as np

from app.batches.runs import Batch, BatchEvents, Clock, Item, settle
from app.errors import DeadlineError, EngineError
from app.logs import SERVICE


class Queue:
    """Pictures in the order in which they came, and a batch that was formed ahead; callers who left are dropped.

    It is changed under `changed` alone; its length may be asked for at any time.

    Args:
        max_batch_size: most pictures of one batch.
        events: hears who was dropped.
        clock: clock of the deadlines, in seconds.

    Attributes:
        changed: wakes a lane when a picture comes.
        idle_lanes: number of lanes that wait for it.
    """

    def __init__(self, *, max_batch_size: int, events: BatchEvents, clock: Clock) -> None:
        self.changed = threading.Condition()
        self.idle_lanes = 0
        self._max_batch_size = max_batch_size
        self._events = events
        self._clock = clock
        self._items: deque[Item] = deque()
        self._prepared: Batch | None = None

    def __len__(self) -> int:
        prepared = self._prepared  # read once: another thread may take it
        return len(self._items) + (len(prepared.items) if prepared else 0)

    @property
    def pictures_of_callers(self) -> int:
        """How many pictures wait that do not go first, to be asked under `changed`: those that do are nobody's."""
        first = sum(1 for _ in takewhile(lambda item: item.goes_first, self._items))
        if self._prepared and self._prepared.items[0].goes_first:
            first += len(self._prepared.items)
        return len(self) - first

    def put(self, item: Item, *, wakes_lane: bool = True) -> None:
        """Add a picture; a whole batch is prepared at once if every lane is busy."""
        self._items.append(item)
        if not self.idle_lanes and self._prepared is None and len(self._items) >= self._max_batch_size:
            self._prepared = self._form(self._max_batch_size)
        if wakes_lane:
            self.changed.notify()

    def put_first(self, items: Sequence[Item], *, wakes_lane: bool = True) -> None:
        """Add pictures before all that wait, but for a batch that is prepared already.

        They are run without others: a batch that callers fill may take longer than these may.
        """
        while self._items and self._items[0].goes_first and self._items[0].answer.done():
            self._items.popleft()  # of an engine that hangs: they would pile up
            self._events.dropped("abandoned")
        for item in items:
            item.goes_first = True
        self._items.extendleft(reversed(items))
        if wakes_lane:
            self.changed.notify()

    def take(self, *, most: int | None = None) -> Batch | None:
        """Take the prepared batch, else a new one; None where nobody waits any more.

        Args:
            most: pictures, of a prepared one the first; None means a whole batch.
        """
        most = most or self._max_batch_size
        prepared, self._prepared = self._prepared, None
        if prepared and len(prepared.items) > most:
            self._prepared = Batch(prepared.items[most:], prepared.images[most:])
            prepared = Batch(prepared.items[:most], prepared.images[:most])
        return (self._still_wanted(prepared) if prepared else None) or self._form(most)

    def take_one(self) -> Batch | None:
        """Take the picture that would wait longest: the first behind the prepared batch, else the last in it."""
        while self._items:
            item = self._items.popleft()
            if self._keep_or_drop(item):
                return Batch([item], item.image[None])
        if self._prepared is None:
            return None
        *others, item = self._prepared.items
        self._prepared = Batch(others, self._prepared.images[:-1]) if others else None
        return Batch([item], item.image[None]) if self._keep_or_drop(item) else None

    def clear(self) -> list[Item]:
        """Take all who wait out of it: nobody will run them."""
        prepared, self._prepared = self._prepared, None
        items = [*(prepared.items if prepared else ()), *self._items]
        self._items.clear()
        return items

    def _form(self, most: int) -> Batch | None:
        """Take who is still worth running, up to so many."""
        while self._items:
            taken: list[Item] = []
            items: list[Item] = []
            try:
                while self._items and len(items) < most:
                    if items and items[0].goes_first and not self._items[0].goes_first:
                        break
                    taken.append(self._items.popleft())
                    if self._keep_or_drop(taken[-1]):
                        items.append(taken[-1])
                if items:
                    return Batch(items, np.stack([item.image for item in items]))
            except Exception as error:  # noqa: BLE001 - no memory, say; who was taken must not wait for ever
                self._fail(taken, error)
        return None

    def _fail(self, items: Sequence[Item], error: Exception) -> None:
        """Tell everybody of a batch that it could not be formed; the others go on."""
        SERVICE.error("a batch could not be formed", exc_info=error, extra={"fields": {"pictures": len(items)}})
        failure = EngineError(f"A batch could not be formed: {type(error).__name__}: {error}")
        failure.__cause__ = error
        settle([(item, failure) for item in items])
        self._events.failed(failure)

    def _still_wanted(self, batch: Batch) -> Batch | None:
        """Look again at a batch that was prepared ahead: somebody may have left since."""
        try:
            keep = [index for index, item in enumerate(batch.items) if self._keep_or_drop(item)]
            if len(keep) == len(batch.items):
                return batch
            return Batch([batch.items[index] for index in keep], batch.images[keep]) if keep else None
        except Exception as error:  # noqa: BLE001 - as in `_form`
            self._fail(batch.items, error)
            return None

    def _keep_or_drop(self, item: Item) -> bool:
        """Say whether a picture is to be run. One that is not is counted, and told so if its time is over."""
        if item.deadline_s <= self._clock():
            self._events.dropped("expired")
            settle([(item, _too_late())])
            return False
        if item.answer.done():
            self._events.dropped("abandoned")
            return False
        return True


def _too_late() -> DeadlineError:
    return DeadlineError("The time that the request had is over. Send it again, or give it more time.")
