"""The command `evaluate`: what a checkpoint is worth, in words or as JSON."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console

from models.calibration import BeforeAndAfter
from models.checkpoint import Checkpoint, load
from models.metrics import Metrics
from models.views import shows_mirror_images
from training.commands.options import (
    CacheOption,
    CheckpointArgument,
    DataOption,
    Device,
    DeviceOption,
    JsonOption,
    seed_option,
)
from training.commands.terminal import CommandError, print_metrics, told_in_a_sentence
from training.data import read_test
from training.data.dataset import Split
from training.data.rereading import find_leaked_again
from training.devices import choose_device
from training.evaluate import (
    ViewProbabilities,
    WithoutCopies,
    balanced_accuracy,
    count_without,
    measure_checkpoint,
    without_copies_line,
)
from training.measuring.calibration import reliability_by_view
from training.measuring.grids import draw_predictions
from training.measuring.reliability import area_under_risk, reliability_lines
from training.measuring.robustness import PICTURES, Robustness, measure_robustness, robustness_lines
from training.measuring.second_look import SecondLook, measure_second_look, second_look_line
from training.progress import tell, teller
from training.targets import check_png, refuse_among_pictures


def evaluate(
    checkpoint: CheckpointArgument,
    data: DataOption,
    as_json: JsonOption = False,
    grid: Annotated[
        Path | None, typer.Option(help="Also draw a test batch with its labels into this PNG.")
    ] = None,
    corruptions: Annotated[
        bool, typer.Option("--corruptions", help="Also measure on spoilt copies: noise, blur, light and more.")
    ] = False,
    corruption_pictures: Annotated[
        int | None,
        typer.Option(min=1, help=f"With --corruptions: pictures to spoil in every way [default: {PICTURES}]."),
    ] = None,
    seed: Annotated[int, seed_option("the choice of pictures for --grid and --corruptions, and of the noise")] = 0,
    device: DeviceOption = Device.auto,
    cache: CacheOption = Path("data"),
) -> None:
    """Measure a checkpoint, overall and class by class.

    With a single view, which the service answers, and six views.
    """
    if corruption_pictures is not None and not corruptions:
        raise CommandError("--corruption-pictures says how many --corruptions spoils; add that, or leave it out.")
    with told_in_a_sentence() as console:
        if grid is not None:
            refuse_among_pictures(data, grid, option="--grid")
            check_png(grid)
        loaded = load(checkpoint)
        target = choose_device(device.value)
        loaded.network.to(target)  # in place
        name, split = read_test(data, loaded.record, cache=cache, report=teller(console))
        views, metrics = measure_checkpoint(loaded, split, name=name, console=console)
        leaked = find_leaked_again(data, loaded.record, split, cache=cache, report=teller(console))
        found = _Evaluation(
            metrics=metrics,
            may_abstain=loaded.record.calibration.may_abstain,
            without_copies=None if leaked is None else count_without(views, split.targets, leaked),
            second_look=_second_look(loaded, split, views, device=target, console=console),
            reliability=reliability_by_view(views.before_and_after, split.targets),
            risk=area_under_risk(views.single_view, split.targets),
            robustness=measure_robustness(
                loaded.network,
                split,
                pictures=corruption_pictures or PICTURES,
                seed=seed,
                place="spoilt copies",
                console=console,
            )
            if corruptions
            else None,
        )
        if grid is not None:  # last: whoever stops the measurement hears that nothing was written
            draw_predictions(split, views.single_view, labels=loaded.record.labels, seed=seed, path=grid)
            tell(console, f"wrote {grid}")
        if as_json:
            typer.echo(json.dumps(found.to_json(), indent=2))
        else:
            found.tell()


@dataclass(frozen=True)
class _Evaluation:
    """What `evaluate` measured; None stands for what there is not, is not known, or was not asked for."""

    metrics: Metrics
    may_abstain: bool
    without_copies: WithoutCopies | None
    second_look: SecondLook | None
    reliability: Mapping[str, BeforeAndAfter]
    risk: float
    robustness: Robustness | None

    def to_json(self) -> dict[str, Any]:
        fields = dataclasses.asdict(self.metrics)
        del fields["split"]
        fields["balanced_accuracy"] = balanced_accuracy(self.metrics)
        fields["without_copies"] = self.without_copies and dataclasses.asdict(self.without_copies)
        fields["area_under_risk_coverage"] = self.risk
        fields["second_look"] = self.second_look and dataclasses.asdict(self.second_look)
        fields["reliability"] = {view: dataclasses.asdict(both) for view, both in self.reliability.items()}
        if self.robustness is not None:
            fields["corruptions"] = dataclasses.asdict(self.robustness)
        return fields

    def tell(self) -> None:
        print_metrics(self.metrics, may_abstain=self.may_abstain)
        if self.without_copies is not None and self.without_copies.copies:
            typer.echo(without_copies_line(self.without_copies))
        if self.second_look is not None:
            typer.echo(second_look_line(self.second_look))
        typer.echo("\n".join(reliability_lines(self.reliability)))
        typer.echo(f"Area under the risk-coverage curve (AURC): {self.risk:.5f} (single view)")
        if self.robustness is not None:
            typer.echo("\n".join(robustness_lines(self.robustness)))


def _second_look(
    checkpoint: Checkpoint, split: Split, views: ViewProbabilities, *, device: torch.device, console: Console
) -> SecondLook | None:
    """Measure what more views of unsure pictures win, with the rule by which this checkpoint abstains."""
    record = checkpoint.record
    return measure_second_look(
        checkpoint.graph.to(device),  # the distance, too
        split.images,
        split.targets,
        first=views.single_view,
        distances=views.distances,
        calibration=record.calibration,
        mirrors=shows_mirror_images(record.training.configuration),
        console=console,
    )
