"""The options that commands share, and the words that they take."""

import math
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from training.measuring.calibration import ACCEPTED_SHARE

MOST_EPOCHS = 100_000
"""More is a slip of the keyboard. Source: choice."""
MOST_SEED = 2**32 - 1
"""What PyTorch's generator on the CPU keeps of a seed: larger ones would give the runs of smaller ones anew."""


class Device(StrEnum):
    """Where to compute."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class RecipeName(StrEnum):
    """The keys of `RECIPES`, written out for the type checker."""

    tutorial = "tutorial"
    fast = "fast"
    accurate = "accurate"
    compact = "compact"
    taught = "taught"


class Dtype(StrEnum):
    """What forward passes compute in."""

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"


DATA_HELP = "cifar10, a FILE.npz, or a FOLDER of class folders."
DEVICE_HELP = "Where to compute; auto takes CUDA where there is one."
DataOption = Annotated[str, typer.Option("--data", help=DATA_HELP)]
DeviceOption = Annotated[Device, typer.Option(help=DEVICE_HELP)]
CACHE_HELP = "Folder for downloaded data sets and decoded pictures."
CacheOption = Annotated[Path, typer.Option(help=CACHE_HELP)]
InputSizeOption = Annotated[
    int | None,
    typer.Option(min=9, max=512, help="Side of the network's pictures in pixels, instead of one that fits yours."),
]


def _refuse_no_number(share: float | None) -> float | None:
    """Refuse NaN, which the limits of older versions of typer let through.

    Raises:
        BadParameter: it is.
    """
    if share is not None and math.isnan(share):
        raise typer.BadParameter("it is no number")
    return share


def _refuse_no_time(minutes: float | None) -> float | None:
    """Refuse minutes in which nothing can be done, and endless ones.

    Raises:
        BadParameter: they are no number above 0.
    """
    if minutes is not None and not 0 < minutes < math.inf:
        raise typer.BadParameter(f"{minutes:g} is no time to train in; give a number above 0, as 10 or 0.5")
    return minutes


def _accept_option(default: str) -> object:
    """Describe `--accept` of a command.

    Args:
        default: what it stands for where it is left out, in words.
    """
    return typer.Option(
        min=0.8,
        max=0.999,
        metavar="SHARE",
        callback=_refuse_no_number,
        help="Of the held-out pictures for the abstain rule to accept: a share such as 0.9, from 0.8 to 0.999 "
        f"[default: {default}].",
    )


AcceptOption = Annotated[float | None, _accept_option(str(ACCEPTED_SHARE))]
AcceptAgainOption = Annotated[float | None, _accept_option("the share that the checkpoint was made with")]
MinutesOption = Annotated[
    float | None,
    typer.Option(
        callback=_refuse_no_time,
        help="For the steps, instead of --epochs: a few are timed, and as many passes made as fit. Reading, "
        "timing, calibrating and measuring come on top.",
    ),
]
MirrorOption = Annotated[
    bool | None,
    typer.Option(
        "--mirror/--no-mirror",
        help="Show mirror images too; not where they are another class, as letters' and arrows' are.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object on stdout instead of text.")]
CheckpointArgument = Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="A .safetensors file.")]


def seed_option(draws: str) -> object:
    """Describe `--seed` of a command.

    Args:
        draws: what it decides: "the split".
    """
    return typer.Option(min=0, max=MOST_SEED, help=f"Of {draws}.")
