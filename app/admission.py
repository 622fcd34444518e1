"""Let in only what can be answered in time; say to the rest when it is worth coming back."""

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from app.errors import OverloadedError

_NEWEST = 0.1
"""Share of the newest measurement in the running means: about the last twenty count; the first ten count alike."""
_DOUBT = 8
"""So many times too dear may a batch seem to an idle service, and be let in: one measurement, as of a process that
was paused, must not keep large batches out until something else comes and teaches better. Source: choice."""
_BURST_S = 1.0
"""Seconds of refusals, with no longer pause between them, after which an overload is no burst but lasts."""
_LASTING_SHARE, _LASTING_S = 0.2, 0.1
"""The longest wait while it lasts: this share of a deadline, or so many seconds if that is less. The queue is then
always as long as it may be: a long one lets nobody in that a short one would not, and all answers come later.
Source: docs/experiments.md, 2026-11-26 and 2026-11-27."""
_LONGEST_RETRY_S = 30
"""Most seconds that a caller is told to stay away: the estimate is none of what comes after. Source: choice."""
_KEPT_LAG = 0.8
"""Share of a lag that is still expected a beat later: a tenth of it is left after half a second."""
_BUSY_S = 0.01
"""A loop that is late by fewer seconds has given everybody a turn."""
KEPT_FREE = 0.4
"""Share of a deadline that the estimate may not use up: it is a mean, and some wait longer. Source: choice, with
which no answer was late at three times the load that can be answered (docs/benchmarks.md, "Overload")."""
KEPT_FREE_BESIDE_OTHERS = 0.8
"""The same where other processes want the cores too. Source: with this, and not with KEPT_FREE, no answer of two
overloaded processes was late (docs/benchmarks.md, "Quick networks")."""


class Admission:
    """Estimates from what was measured how long a new request would wait.

    It lives on the event loop; only `answered` and `idle` come from the engine's threads.

    Args:
        max_waiting: most pictures that are let in at a time, whatever the deadline.
        decoders: number of threads that decode large pictures.
        max_bytes: most bytes in memory of all bodies together.
        kept_free: share of a deadline that the estimate may not use up.
        clock: of refusals, in seconds.
    """

    def __init__(
        self,
        *,
        max_waiting: int,
        decoders: int,
        max_bytes: int,
        kept_free: float = KEPT_FREE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_waiting = max_waiting
        self._max_bytes = max_bytes
        self._kept_free = kept_free
        self._held_bytes = 0
        self._decoders = decoders
        self._pictures = 0
        self._decoding_bytes = 0
        self._runs = 0
        self._run_s = 0.0
        self._run_pictures = 0.0
        self._picture_s = 0.0
        self._decoded_s = 0.0
        self._decoded_bytes = 0.0
        self._byte_s = 0.0
        self._backlogged_since_s: float | None = None
        self._lanes = 1
        self._learning = threading.Lock()
        self._lag_s = 0.0
        self._entering = 0
        self._clock = clock
        self._refusing_since_s = self._refused_s = -math.inf

    @property
    def wait_s(self) -> float:
        """Seconds that a request that came now would wait.

        The wait for the engine, for the threads that decode, and for the event loop to come round with the answer.
        """
        decoding_s = self._decoding_bytes * self._byte_s / self._decoders
        return (self._pictures + self._entering) * self._picture_s + decoding_s + self._lag_s

    @property
    def lag_s(self) -> float:
        """Seconds that the event loop takes to come round, for which a request has waited before it was read."""
        return self._lag_s

    def serves(self, *, lanes: int) -> None:
        """Learn that another model answers from now on: what the last one cost is a first guess, and no more.

        Args:
            lanes: threads that run it at the same time.
        """
        with self._learning:
            self._lanes = lanes
            self._runs = min(self._runs, 1)
            self._backlogged_since_s = None

    def enter(self) -> None:
        """Count a request that was let in by its header, and whose turn on the event loop has not come yet."""
        self._entering += 1

    def entered(self) -> None:
        """Count it no more: its turn has come, and from here on its pictures count."""
        self._entering = max(0, self._entering - 1)

    def lagged(self, seconds: float) -> None:
        """Learn by how many seconds the event loop was late; a longer lag before it fades from beat to beat."""
        if not seconds > _BUSY_S:
            self._entering = 0  # whoever entered and had no turn since sends slowly, or has hung up
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
        own_s = (pictures - 1) * self._picture_s
        if self._pictures:
            own_s += decoding_bytes * self._byte_s / self._decoders
        else:  # whoever comes may try: a few had an odd price, and refusing teaches nothing
            own_s /= _DOUBT
        wait_s, usable_s = self.wait_s + own_s, self._usable_s(within_s)
        if wait_s > usable_s:
            self._note_refusal()
            advice = (
                "Send fewer pictures at a time, or give it more"
                if own_s > usable_s > 0
                else "Come back after Retry-After seconds, or give it more"
            )
            raise OverloadedError(
                f"{self._pictures:,} pictures are being answered and this request brings {pictures:,}, about "
                f"{wait_s * 1000:,.0f} ms of work; {max(0.0, within_s) * 1000:,.0f} ms are left of its time, and "
                f"that is too little. {advice} with X-Request-Timeout-Ms.",
                retry_after_s=_whole(wait_s - self._lag_s - max(0.0, usable_s)),
            )
        in_work = self._pictures + self._entering
        if in_work + pictures > self._max_waiting:
            self._note_refusal()
            raise OverloadedError(
                f"{in_work:,} pictures are in work or on their way and this request brings {pictures:,}; the "
                f"limit is {self._max_waiting:,} (GLIMPSE_MAX_QUEUE). "
                "Come back after Retry-After seconds.",
                retry_after_s=_half_of(wait_s),
            )

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

    def hold(self, size_bytes: int) -> None:
        """Count bytes of a body as they come; `let_go` of them when the request is over.

        Announced lengths do not count: a few callers who announce much and send nothing would keep everybody out.

        Raises:
            OverloadedError: with them all bodies together would be over the limit.
        """
        if self._held_bytes + size_bytes > self._max_bytes:
            raise OverloadedError(
                f"The bodies that are in work, {self._held_bytes:,} bytes, leave no room for "
                f"{size_bytes:,} more; the limit is {self._max_bytes:,} (GLIMPSE_MAX_BODIES_BYTES). Come "
                "back after Retry-After seconds.",
                retry_after_s=_half_of(self.wait_s),
            )
        self._held_bytes += size_bytes

    def let_go(self, size_bytes: int) -> None:
        """Give back bytes that were held."""
        self._held_bytes -= size_bytes

    @contextmanager
    def picture(self) -> Iterator[None]:
        """Count a picture from the moment that it is there until it is answered."""
        self._pictures += 1
        try:
            yield
        finally:
            self._pictures -= 1

    @contextmanager
    def decoding(self, size_bytes: int) -> Iterator[None]:
        """Count a picture that waits for a decoding thread, or is on one."""
        self._decoding_bytes += size_bytes
        try:
            yield
        finally:
            self._decoding_bytes -= size_bytes

    def decoded(self, *, size_bytes: int, seconds: float) -> None:
        """Learn how many seconds a thread needs for a byte.

        Seconds and bytes are added up apart: a few bytes may unfold into 50 megapixels, and such a file must not
        speak for those whose bytes are pictures.
        """
        share = _NEWEST if self._decoded_bytes else 1.0
        self._decoded_s += share * (seconds - self._decoded_s)
        self._decoded_bytes += share * (size_bytes - self._decoded_bytes)
        self._byte_s = self._decoded_s / self._decoded_bytes

    def answered(self, *, size: int, seconds: float, finished_s: float, waiting: int) -> None:
        """Learn from a batch what a picture costs.

        While there is a backlog the time between two batches counts, with everything that the engine waits for;
        otherwise only the run itself is known, beside which the other lanes could have run as many. Times and
        pictures are added up apart: each picture counts alike, or the event loop's runs of one, which cost more
        for it, would speak for a whole batch.

        Args:
            size: pictures in the batch.
            seconds: time that its run took.
            finished_s: when the run ended, in seconds on any steady clock.
            waiting: pictures in the queue at that moment.
        """
        with self._learning:
            since_s = self._backlogged_since_s
            spent_s = seconds / self._lanes if since_s is None else max(0.0, finished_s - since_s)
            self._runs += 1
            share = max(_NEWEST, 1 / self._runs)
            self._run_s += share * (spent_s - self._run_s)
            self._run_pictures += share * (size - self._run_pictures)
            self._picture_s = self._run_s / self._run_pictures
            self._backlogged_since_s = finished_s if waiting else None

    def _usable_s(self, within_s: float) -> float:
        """How much of a deadline the wait may use up: less while there is an overload that lasts."""
        usable_s, now_s = within_s * (1 - self._kept_free), self._clock()
        is_lasting = now_s - self._refused_s <= _BURST_S < now_s - self._refusing_since_s
        return min(usable_s, max(within_s * _LASTING_SHARE, _LASTING_S)) if is_lasting else usable_s

    def _note_refusal(self) -> None:
        now_s = self._clock()
        if now_s - self._refused_s > _BURST_S:
            self._refusing_since_s = now_s
        self._refused_s = now_s

    def idle(self) -> None:
        """Learn that the engine has nothing to do: whoever waited has left, and the time from now costs nobody."""
        self._backlogged_since_s = None


def _half_of(wait_s: float) -> int:
    """Whole seconds after which half of a backlog is done, and there is room again."""
    return _whole(wait_s / 2)


def _whole(seconds: float) -> int:
    return min(_LONGEST_RETRY_S, max(1, math.ceil(seconds)))
