"""What a picture costs the engine, and a byte a decoding thread: learnt from what was just done."""

import threading

_NEWEST = 0.1
"""Share of the newest measurement in the running means: about the last twenty count; the first ten count alike."""


class Prices:
    """Running means of what work has cost lately; 0 before anything was measured.

    Read on the event loop, which learns `decoded` too; all else comes from the engine's threads as well.

    Attributes:
        picture_s: seconds for which a picture keeps the engine busy.
        byte_s: seconds for which a byte of a picture's file keeps a decoding thread busy.
    """

    def __init__(self) -> None:
        self.picture_s = 0.0
        self.byte_s = 0.0
        self._runs = 0
        self._run_s = 0.0
        self._run_pictures = 0.0
        self._backlogged_since_s: float | None = None
        self._lanes = 1
        self._learning = threading.Lock()
        self._decoded_s = 0.0
        self._decoded_bytes = 0.0

    def serves(self, *, lanes: int) -> None:
        """Learn that another model answers from now on: what the last one cost is a first guess, and no more.

        Args:
            lanes: threads that run it at the same time.
        """
        with self._learning:
            self._lanes = lanes
            self._runs = min(self._runs, 1)
            self._backlogged_since_s = None

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
            self.picture_s = self._run_s / self._run_pictures
            self._backlogged_since_s = finished_s if waiting else None

    def idle(self) -> None:
        """Learn that the engine has nothing to do: whoever waited has left, and the time from now costs nobody."""
        self._backlogged_since_s = None

    def decoded(self, *, size_bytes: int, seconds: float) -> None:
        """Learn how many seconds a thread needs for a byte.

        Seconds and bytes are added up apart: a few bytes may unfold into 50 megapixels, and such a file must not
        speak for those whose bytes are pictures.
        """
        share = _NEWEST if self._decoded_bytes else 1.0
        self._decoded_s += share * (seconds - self._decoded_s)
        self._decoded_bytes += share * (size_bytes - self._decoded_bytes)
        self.byte_s = self._decoded_s / self._decoded_bytes
