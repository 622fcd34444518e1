"""All that is decided about a training before its first step: data, recipe, computing, start, teachers."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from models.checkpoint import Checkpoint
from models.networks import build
from models.preprocessing import InputSpec
from training.configuration import Request
from training.contradictions import refuse_share_without_rule
from training.data import read_dataset
from training.data.dataset import Dataset, Split, fingerprint
from training.data.held_out import (
    COPIES_TOGETHER,
    FEWEST_FOR_RULE,
    FEWEST_FOR_TEMPERATURE,
    HELD_OUT_FINGERPRINT,
    HELD_OUT_PART,
    VAL,
    group_copies,
    set_aside,
)
from training.data.inspection import lines_before_training
from training.devices import Computing, choose_dtype
from training.doubts import DOUBTED, doubt
from training.earlier import load_start, load_teacher, start_with
from training.epoch import Wanted
from training.fitting import fit_to_data
from training.flat_pictures import mind_flat_pictures
from training.fresh import Start
from training.recipes import RECIPES, LargeBatchRecipe, Recipe, TutorialRecipe
from training.runs.extension import extend
from training.runs.provenance import current_commit
from training.teacher import answers_of


@dataclass(frozen=True)
class Plan:
    """All that is decided before the first step.

    Attributes:
        dataset: read, with its held-out part.
        recipe: adapted to it and to the request.
        spec: of the images.
        configuration: all that decides the weights.
        start: weights that it starts with; None draws them.
        wanted: the teachers' answers; None where the labels are learnt.
        commit: of the code that runs; it may be edited before the training ends.
    """

    dataset: Dataset
    recipe: Recipe
    spec: InputSpec
    configuration: dict[str, Any]
    start: Start | None
    wanted: Wanted | None
    commit: str

    @property
    def checkpoint_bytes(self) -> int:
        """Of the weights in a checkpoint, which are nearly all of it."""
        with torch.device("meta"):
            network = build(self.recipe.architecture, classes=len(self.dataset.labels), spec=self.spec)
        return sum(tensor.nbytes for tensor in network.state_dict().values())

    @property
    def states_bytes(self) -> int:
        """About the most of a run's states together: the last one, the one that replaces it, and the snapshot.

        Each holds the weights, their momentum, and the slow copy where there is one; what else it holds is small.
        """
        has_slow_copy = isinstance(self.recipe, LargeBatchRecipe) and self.recipe.lookahead is not None
        return 3 * (3 if has_slow_copy else 2) * self.checkpoint_bytes


def choose_computing(request: Request, device: torch.device) -> Computing:
    """Decide on what and how to compute; the tutorial, to the letter, does it in float32 and uncompiled."""
    if isinstance(RECIPES[request.recipe], TutorialRecipe):
        return Computing(device, torch.float32)
    return Computing(device, choose_dtype(request.dtype, device), request.is_compiled)


def prepare(request: Request, computing: Computing, *, tell: Callable[[str], None]) -> Plan:
    """Read the data, hold some of it out, adapt the recipe, and read what earlier trainings left to this one.

    Args:
        request: what the user asked for, without contradictions.
        computing: on what and how.
        tell: told of the data, a sentence at a time.

    Raises:
        GlimpseError: the data, a teacher or what it starts with cannot be read, or do not fit; or too few pictures
            are held out for what was asked of the abstain rule.
    """
    table = RECIPES[request.recipe]
    earlier = None
    if request.start is not None:  # refused before minutes of decoding
        spec = InputSpec(mean=table.mean, std=table.std)
        earlier = load_start(Path(request.start), architecture=table.architecture, spec=spec)
    # the tutorial, to the letter, holds nothing out
    count = 0 if isinstance(table, TutorialRecipe) and request.held_out is None else request.held_out
    read = read_dataset(
        request.data,
        seed=request.seed,
        cache=Path(request.cache),
        report=tell,
        input_size=request.input_size,
        takes_val=count is None,
    )
    for line in lines_before_training(read):
        tell(line)
    dataset = set_aside(read, count=count, seed=request.seed)
    where = "" if dataset.val is None else _origin(dataset, dataset.val, tell=tell)
    refuse_share_without_rule(request.accept, held_out=dataset.held_out_count)
    height, width = dataset.train.images.shape[1:3]
    spec = InputSpec(height=height, width=width, mean=table.mean, std=table.std)
    recipe = adapt(table, request, dataset)
    tell(
        f"{dataset.name}: {len(dataset.train):,} pictures to learn from, {dataset.held_out_count:,} held out to "
        f"calibrate on{where}, {len(dataset.test):,} to measure on, {width} × {height} pixels each"
    )
    configuration = _configuration(recipe, read, dataset, spec=spec, seed=request.seed, dtype=computing.dtype)
    start, of_start = _take_start(earlier, request, configuration, dataset=dataset, tell=tell)
    wanted, of_teachers = _ask_teachers(request, configuration, computing, dataset=dataset, spec=spec, tell=tell)
    return Plan(
        dataset=dataset,
        recipe=recipe,
        spec=spec,
        configuration=configuration | of_start | of_teachers,
        start=start,
        wanted=wanted,
        commit=current_commit(),
    )


def _origin(dataset: Dataset, val: Split, *, tell: Callable[[str], None]) -> str:
    """Name a val part that is held out; tell what is left out of it, and if it is small."""
    name, alike = (f"{val.files[0].split('/')[0]}/", "equal or look like") if val.files else ("x_val", "equal")
    if copies := len(val) - dataset.held_out_count:
        tell(
            f"{copies:,} of the {len(val):,} pictures of {name} {alike} learnt ones, and are left out: "
            "what is fitted on such pictures is fitted on scores that are too good"
        )
    count = dataset.held_out_count
    if count < FEWEST_FOR_RULE:
        lost = "an abstain rule" if count >= FEWEST_FOR_TEMPERATURE else "a temperature and an abstain rule"
        tell(
            f"warning: {count:,} pictures of {name} are too few to fit {lost}; {FEWEST_FOR_RULE} are enough. "
            "Add some, or, if you can spare them, hold as many of the training part out instead: "
            f"--held-out {FEWEST_FOR_RULE}"
        )
    return f" (from {name})"


def with_epochs(plan: Plan, request: Request) -> Plan:
    """Plan what a request becomes once it says how many epochs; all else stays as it was read.

    Args:
        plan: of the same request without them.
        request: with the epochs.
    """
    recipe = adapt(RECIPES[request.recipe], request, plan.dataset)
    return dataclasses.replace(
        plan, recipe=recipe, configuration=plan.configuration | _plain({"recipe": dataclasses.asdict(recipe)})
    )


def _configuration(
    recipe: Recipe, read: Dataset, dataset: Dataset, *, spec: InputSpec, seed: int, dtype: torch.dtype
) -> dict[str, Any]:
    """Gather what decides the weights, but for earlier trainings: a run can only go on with the very same.

    Args:
        recipe: as it is carried out.
        read: the data, before any were held out.
        dataset: the same, after it.
        spec: of its images.
        seed: of everything random.
        dtype: of forward passes.

    Returns:
        Texts, numbers, lists and dictionaries, as JSON has them.
    """
    fields: dict[str, Any] = {
        "seed": seed,
        "data_fingerprint": fingerprint(read.labels, read.train),
        "held_out": dataset.held_out_count,
        "dtype": str(dtype).removeprefix("torch."),
        "labels": dataset.labels,
        "input": dataclasses.asdict(spec),
        "recipe": dataclasses.asdict(recipe),
    }
    if dataset.held_out and dataset.val is not None:
        fields[HELD_OUT_PART] = VAL
        fields[HELD_OUT_FINGERPRINT] = fingerprint(dataset.labels, dataset.held_out)
    elif dataset.held_out and group_copies(read) is not None:
        fields[COPIES_TOGETHER] = True
        fields[HELD_OUT_FINGERPRINT] = fingerprint(dataset.labels, dataset.held_out)
    return _plain(fields)


def _plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Write fields as JSON has them: what a run's folder gives back is then equal."""
    plain: dict[str, Any] = json.loads(json.dumps(fields))
    return plain


def _take_start(
    earlier: Checkpoint | None,
    request: Request,
    configuration: Mapping[str, Any],
    *,
    dataset: Dataset,
    tell: Callable[[str], None],
) -> tuple[Start | None, dict[str, Any]]:
    """Take over the weights of an earlier training, and tell which classes they know.

    Returns:
        The weights, None where they are drawn; and what this adds to the configuration.
    """
    if earlier is None:
        return None, {}
    start = start_with(earlier, labels=dataset.labels)
    known = ", ".join(dataset.labels[place] for place in start.rows)
    tell(f"the start, {request.start}, knows of the {len(dataset.labels)} classes {known or 'none'}")
    doubts = _doubts("the start", earlier, configuration, dataset=dataset, tell=tell)
    return start, {"start": earlier.digest} | doubts


def _ask_teachers(
    request: Request,
    configuration: Mapping[str, Any],
    computing: Computing,
    *,
    dataset: Dataset,
    spec: InputSpec,
    tell: Callable[[str], None],
) -> tuple[Wanted | None, dict[str, Any]]:
    """Read the teachers.

    Returns:
        What answers for them, None where the labels are learnt; and what this adds to the configuration.

    Raises:
        TrainingError: one cannot be read, or does not fit.
    """
    if not request.teachers:
        return None, {}
    mirrors = not request.unmirrored
    teachers = [
        load_teacher(Path(path), labels=dataset.labels, spec=spec, mirrors=mirrors) for path in request.teachers
    ]
    added: dict[str, Any] = {"teachers": [teacher.digest for teacher in teachers]}
    for path, teacher in zip(request.teachers, teachers, strict=True):
        who = "the teacher" if len(teachers) == 1 else f"the teacher {path}"
        added |= _doubts(who, teacher, configuration, dataset=dataset, tell=tell)
    return answers_of([teacher.network.to(computing.device) for teacher in teachers], computing), added


def _doubts(
    who: str,
    earlier: Checkpoint,
    configuration: Mapping[str, Any],
    *,
    dataset: Dataset,
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """Tell if an earlier training may have learnt what judges this one; what that adds to the configuration."""
    doubts = doubt(who, earlier.record, configuration, is_test_drawn=dataset.is_test_drawn)
    if doubts is None:
        return {}
    tell(doubts)
    return {DOUBTED: True}


def adapt(table: Recipe, request: Request, dataset: Dataset) -> Recipe:
    """Make of a recipe's table what is carried out.

    Args:
        table: one of `RECIPES`.
        request: what the user asked for, without contradictions.
        dataset: to learn from, less what is held out.

    Raises:
        TrainingError: its pictures are too few, or too small.
    """
    height, width = dataset.train.images.shape[1:3]
    recipe = fit_to_data(table, len(dataset.train), size=(height, width), epochs=request.epochs)
    recipe = mind_flat_pictures(recipe, dataset.train.images)
    if isinstance(recipe, LargeBatchRecipe) and request.photographs is not None:
        recipe = dataclasses.replace(recipe, photograph_share=request.photographs)
    if isinstance(recipe, LargeBatchRecipe) and request.trivial_augment is not None:
        recipe = dataclasses.replace(recipe, trivial_augment_share=request.trivial_augment)
    if request.unmirrored:
        recipe = dataclasses.replace(recipe, unmirrored=True)
    for epochs in request.extensions:
        recipe = extend(recipe, epochs=epochs)
    return recipe
