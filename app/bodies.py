"""The bodies of all requests together, which may not fill the memory."""

from collections.abc import Callable

from app.errors import OverloadedError


class Bodies:
    """Counts the bytes of bodies that are in memory.

    Args:
        max_bytes: most bytes of all of them together.
        retry_after_s: asked for the whole seconds after which it is worth coming back.

    Attributes:
        held_bytes: bytes that are counted now.
    """

    def __init__(self, *, max_bytes: int, retry_after_s: Callable[[], int]) -> None:
        self.held_bytes = 0
        self._max_bytes = max_bytes
        self._retry_after_s = retry_after_s

    def hold(self, size_bytes: int) -> None:
        """Count bytes of a body as they come; `let_go` of them when the request is over.

        Announced lengths do not count: a few callers who announce much and send nothing would keep everybody out.

        Raises:
            OverloadedError: with them all bodies together would be over the limit.
        """
        if self.held_bytes + size_bytes > self._max_bytes:
            raise OverloadedError(
                f"The bodies that are in work, {self.held_bytes:,} bytes, leave no room for "
                f"{size_bytes:,} more; the limit is {self._max_bytes:,} (GLIMPSE_MAX_BODIES_BYTES). Come "
                "back after Retry-After seconds.",
                retry_after_s=self._retry_after_s(),
                reason="bodies_full",
            )
        self.held_bytes += size_bytes

    def let_go(self, size_bytes: int) -> None:
        """Give back bytes that were held."""
        self.held_bytes -= size_bytes
