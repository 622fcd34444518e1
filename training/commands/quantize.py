"""`python -m training quantize`: a checkpoint whose convolutions multiply bytes."""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from models.checkpoint import load, save
from training.commands.options import (
    AcceptAgainOption,
    CacheOption,
    CheckpointArgument,
    DataOption,
    Device,
    DeviceOption,
)
from training.commands.terminal import print_metrics, told_in_a_sentence
from training.data.rereading import read_as_trained, require_enough_for_rule
from training.devices import choose_device
from training.errors import TrainingError
from training.evaluate import calibrate_again
from training.progress import teller
from training.quantization import quantize as quantize_network
from training.runs.provenance import current_commit, now_utc
from training.targets import check_target, refuse_among_pictures


def quantize(
    checkpoint: CheckpointArgument,
    data: DataOption,
    out: Annotated[Path, typer.Option(help="The checkpoint to write, a .safetensors file.")],
    accept: AcceptAgainOption = None,
    device: DeviceOption = Device.auto,
    cache: CacheOption = Path("data"),
) -> None:
    """Write a copy that multiplies bytes, as CPUs do fastest.

    It is calibrated and measured anew, and as large as before.
    """
    with told_in_a_sentence() as console:
        refuse_among_pictures(data, out, option="--out")
        check_target(out)
        if out.exists() and out.samefile(checkpoint):
            raise TrainingError(f"--out {out} is the checkpoint itself, which would be lost; name another file.")
        loaded = load(checkpoint)
        record = loaded.record
        if accept is not None:
            require_enough_for_rule(record)
        dataset = read_as_trained(data, record, cache=cache, report=teller(console))
        architecture, network = quantize_network(
            loaded.network.to(choose_device(device.value)),
            record.architecture,
            dataset.train.images,
            classes=len(record.labels),
            spec=record.input,
            console=console,
        )
        quantized, distance = calibrate_again(network, record, dataset, accept=accept, console=console)
        origin = {"from": loaded.digest, "from_created_at": record.created_at, "commit": current_commit()}
        training = quantized.training
        quantized = dataclasses.replace(
            quantized,
            architecture=architecture,
            training=dataclasses.replace(training, configuration={**training.configuration, "quantized": origin}),
            created_at=now_utc(),
        )
        digest = save(out, network, quantized, distance=distance)
        single, six = (100 * record.metrics.accuracy[view] for view in ("single_view", "six_views"))
        typer.echo(f"Before it was quantized: {single:.2f} % (single view), {six:.2f} % (six views)")
        print_metrics(quantized.metrics, may_abstain=quantized.calibration.may_abstain)
        typer.echo(f"wrote {out} ({digest})")
