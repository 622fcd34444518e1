"""The command `predict`: what files show, in words or as JSON, without a service."""

import json
from pathlib import Path
from typing import Annotated

import typer

from models.checkpoint import load
from training.commands.options import CheckpointArgument, Device, DeviceOption
from training.commands.terminal import print_lines, told_in_a_sentence
from training.devices import choose_device
from training.errors import TrainingError
from training.predict import Predicted, Unanswered, list_files
from training.predict import predict as answer_files
from training.progress import tell


def predict(
    checkpoint: CheckpointArgument,
    pictures: Annotated[
        list[Path], typer.Argument(metavar="PICTURE...", help="Files, or folders with everything below them.")
    ],
    top_k: Annotated[int, typer.Option(min=1, help="Labels for each picture.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line instead of text.")] = False,
    device: DeviceOption = Device.auto,
) -> None:
    """Say what pictures show.

    As the service answers them; one that cannot be read is named, and the exit code is 1.
    """
    with told_in_a_sentence() as console:
        files = list_files(pictures)
        if not files:
            raise TrainingError(f"There is no file in {', '.join(map(str, pictures))}. Name pictures.")
        loaded, target = load(checkpoint), choose_device(device.value)
        unanswered = 0
        for each in answer_files(loaded, files, top_k=top_k, device=target):
            unanswered += isinstance(each, Unanswered)
            if as_json:
                typer.echo(json.dumps(_fields(each)))
            elif isinstance(each, Unanswered):
                tell(console, f"{each.file}: {each.reason}")
            else:
                print_lines([_words(each)])
        if unanswered:
            tell(console, f"{unanswered:,} of {len(files):,} files could not be answered.")
            raise typer.Exit(1)


def _words(predicted: Predicted) -> str:
    labels = ", ".join(f"{item.label} {100 * item.score:.1f} %" for item in predicted.predictions)
    return f"{predicted.file}: {labels}" + (" (not sure)" if predicted.abstain else "")


def _fields(each: Predicted | Unanswered) -> dict[str, object]:
    """Name the fields as `POST /predict` does."""
    if isinstance(each, Unanswered):
        return {"file": str(each.file), "error": each.reason}
    return {
        "file": str(each.file),
        "predictions": [item._asdict() for item in each.predictions],
        "abstain": each.abstain,
        "image": {"format": each.picture_format, "width": each.width, "height": each.height},
    }
