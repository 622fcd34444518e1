"""What a piece of code asks of tensors: on a GPU each operation is a launch, and some are a wait."""

from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode


class Operations(TorchDispatchMode):
    """Writes down the name of each operation inside the block, as in "aten::zeros_like"."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # that of torch has no types
        self.names: list[str] = []

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Note it, and do it."""
        self.names.append(operation.name().partition(".")[0])
        return operation(*args, **(kwargs or {}))
