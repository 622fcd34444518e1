"""Let in only what can be answered in time; say to the rest when it is worth coming back."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from app.errors import OverloadedError
from app.prices import Prices
from app.usable_time import UsableTime

_DOUBT = 8
"""So many times too dear may a batch seem to an idle service, and be let in: one measurement, as of a process that
was paused, must not keep large batches out until something else comes and teaches better. Source: choice."""
_LONGEST_RETRY_S = 30
"""Most seconds that a caller is told to stay away: the estimate is none of what comes after. Source: choice."""
_KEPT_LAG = 0.8
"""Share of a lag that is still expected a beat later: a tenth of it is left after half a second."""
_BUSY_S = 0.01
"""A loop that is late by fewer seconds has given everybody a turn."""


class Admission:
    """Estimates from what was measured how long a new request would wait; it lives on the event loop.

    Args:
        prices: what a picture and a byte of its file have cost lately.
        usable_time: how much of a deadline the wait may use up; hears of refusals.
        max_waiting: most pictures that are let in at a time, whatever the deadline.
        decoders: number of threads that decode large pictures.
    """

    def __init__(self, prices: Prices, usable_time: UsableTime, *, max_waiting: int, decoders: int) -> None:
        self._prices = prices
        self._usable_time = usable_time
        self._max_waiting = max_waiting
        self._decoders = decoders
        self._pictures = 0
        self._expected = 0
        self._decoding_bytes = 0
        self._lag_s = 0.0

    @property
    def wait_s(self) -> float:
        """Seconds that a request that came now would wait.

        The wait for the engine, for the threads that decode, and for the event loop to come round with the answer.
        """
        decoding_s = self._decoding_bytes * self._prices.byte_s / self._decoders
        return (self._pictures + self._expected) * self._prices.picture_s + decoding_s + self._lag_s

    @property
    def pictures(self) -> int:
        """Pictures that are in work or on their way: to be decoded, in the queue, in the engine."""
        return self._pictures + self._expected

    @property
    def lag_s(self) -> float:
        """Seconds that the event loop takes to come round, for which a request has waited before it was read."""
        return self._lag_s

    def retry_after_s(self) -> int:
        """Estimate the whole seconds after which half of the work is done, and there is room again."""
        return _half_of(self.wait_s)

    def expect(self) -> None:
        """Count a request that was let in by its header, and whose turn on the event loop has not come yet."""
        self._expected += 1

    def stop_expecting(self) -> None:
        """Count it no more: its turn has come, and its pictures count from here on, or it will never come."""
        self._expected = max(0, self._expected - 1)

    def lagged(self, seconds: float) -> None:
        """Learn by how many seconds the event loop was late; a longer lag before it fades from beat to beat."""
        if not seconds > _BUSY_S:
            self._expected = 0  # whoever was expected and had no turn since sends slowly, or has hung up
        self._lag_s = max(seconds, self._lag_s * _KEPT_LAG)

    def check(self, *, within_s: float, pictures: int = 1, decoding_bytes: int = 0) -> None:
        """Refuse what would come too late.

        Args:
            within_s: seconds that are left of the caller's time.
            pictures: number of pictures in the request.
            decoding_bytes: bytes of its pictures that need a decoding thread, but for the largest.

        Raises:
            OverloadedError: the wait is too long, or too many wait; it says when the backlog will be short enough.
        """
        own_s = (pictures - 1) * self._prices.picture_s
        if self._pictures:
            own_s += decoding_bytes * self._prices.byte_s / self._decoders
        else:  # whoever comes may try: a few had an odd price, and refusing teaches nothing
            own_s /= _DOUBT
        wait_s, usable_s = self.wait_s + own_s, self._usable_time.of(within_s)
        if wait_s > usable_s:
            self._usable_time.note_refusal()
            raise self._too_late(pictures, own_s=own_s, wait_s=wait_s, usable_s=usable_s, within_s=within_s)
        if self.pictures + pictures > self._max_waiting:
            self._usable_time.note_refusal()
            raise self._too_many(pictures, wait_s=wait_s)

    def has_room(self, *, pictures: int, within_s: float) -> bool:
        """Tell whether so many pictures more would be answered in time, and leave room for new callers.

        They have half of it to themselves: who was let in already would come before them whenever a run ends, and
        several runs for one picture would keep them out. Source: choice.

        Args:
            pictures: of somebody who was let in, and whose own picture is counted.
            within_s: as for `check`.
        """
        own_s, usable_s = (pictures - 1) * self._prices.picture_s, self._usable_time.of(within_s)
        is_half_free = self.wait_s <= usable_s / 2 and self.pictures <= self._max_waiting / 2
        return is_half_free and self.wait_s + own_s <= usable_s and self.pictures + pictures <= self._max_waiting

    @contextmanager
    def reserve(self, decoding_bytes: Sequence[int], *, within_s: float) -> Iterator[Callable[[int], None]]:
        """Refuse a batch whole, or keep room for each of its pictures until that is counted by itself.

        Pictures of a batch begin one after the other: several batches that came at once would each find the
        others' uncounted.

        Args:
            decoding_bytes: of each picture; 0 of one that needs no decoding thread.
            within_s: as for `check`.

        Returns:
            What gives up the room of one picture, by its place in the batch; the end gives up the rest.

        Raises:
            OverloadedError: as for `check`.
        """
        others_bytes = sum(decoding_bytes) - max(decoding_bytes)
        self.check(within_s=within_s, pictures=len(decoding_bytes), decoding_bytes=others_bytes)
        kept = dict(enumerate(decoding_bytes))
        self._pictures += len(kept)
        self._decoding_bytes += sum(decoding_bytes)

        def give_up(place: int) -> None:
            size_bytes = kept.pop(place, None)
            if size_bytes is not None:
                self._pictures -= 1
                self._decoding_bytes -= size_bytes

        try:
            yield give_up
        finally:
            for place in list(kept):
                give_up(place)

    @contextmanager
    def picture(self, count: int = 1) -> Iterator[None]:
        """Count a picture, or several, from the moment that it is there until it is answered."""
        self._pictures += count
        try:
            yield
        finally:
            self._pictures -= count

    @contextmanager
    def decoding(self, size_bytes: int) -> Iterator[None]:
        """Count a picture that waits for a decoding thread, or is on one."""
        self._decoding_bytes += size_bytes
        try:
            yield
        finally:
            self._decoding_bytes -= size_bytes

    def _too_late(
        self, pictures: int, *, own_s: float, wait_s: float, usable_s: float, within_s: float
    ) -> OverloadedError:
        picture_s, whole_s = self._prices.picture_s, within_s + self._lag_s
        if picture_s > whole_s:
            told = (
                f"This request allows {max(0.0, whole_s) * 1000:,.1f} ms, and one picture takes about "
                f"{picture_s * 1000:,.1f} ms here, however few others ask. Give it more"
            )
        else:
            advice = (
                "Send fewer pictures at a time, or give it more"
                if own_s > usable_s > 0
                else "Come back after Retry-After seconds, or give it more"
            )
            told = (
                f"{self._pictures:,} pictures are being answered and this request brings {pictures:,}, about "
                f"{wait_s * 1000:,.0f} ms of work; {max(0.0, within_s) * 1000:,.0f} ms are left of its time, and "
                f"that is too little. {advice}"
            )
        return OverloadedError(
            f"{told} with X-Request-Timeout-Ms.",
            retry_after_s=_whole(wait_s - self._lag_s - max(0.0, usable_s)),
            reason="deadline",
        )

    def _too_many(self, pictures: int, *, wait_s: float) -> OverloadedError:
        return OverloadedError(
            f"{self.pictures:,} pictures are in work or on their way and this request brings {pictures:,}; the "
            f"limit is {self._max_waiting:,} (GLIMPSE_MAX_QUEUE). "
            "Come back after Retry-After seconds.",
            retry_after_s=_half_of(wait_s),
            reason="queue_full",
        )


def _half_of(wait_s: float) -> int:
    return _whole(wait_s / 2)


def _whole(seconds: float) -> int:
    return min(_LONGEST_RETRY_S, max(1, math.ceil(seconds)))
