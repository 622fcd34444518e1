"""Judge every picture of a data set, those to learn from included, by a network that has not learnt it.

One that has learnt a picture cannot judge it: by the end it repeats whatever label it was told
(docs/experiments.md, 2026-11-24).
"""

from dataclasses import replace

import torch
from rich.console import Console
from torch import Tensor

from models.preprocessing import InputSpec
from training.data.dataset import Dataset, Split
from training.data.held_out import chosen
from training.data.inspection import inspect_dataset
from training.devices import Computing
from training.errors import TrainingError
from training.fitting import fit_to_data, require_size
from training.flat_pictures import mind_flat_pictures
from training.fresh import Start
from training.loop import train
from training.measuring.label_mistakes import MOST_LISTED, LabelMistake, find_label_mistakes
from training.measuring.reading import fit_temperature
from training.measuring.views import single_view
from training.progress import tell, time_left
from training.recipes import LargeBatchRecipe, Recipe


def judge_all(
    recipe: Recipe,
    dataset: Dataset,
    *,
    folds: int,
    seed: int,
    computing: Computing,
    console: Console,
    epochs: int | None = None,
    start: Start | None = None,
    most: int = MOST_LISTED,
) -> list[LabelMistake]:
    """List the likeliest mistakes of all parts, each picture judged by a network that has not learnt it.

    Args:
        recipe: to train as many networks with as there are folds.
        dataset: whose parts are put together.
        folds: 2 or more, each with its share of every class; each network learns all of them but one. Copies of
            one picture are in one fold, and a class that has no other pictures is not judged.
        seed: of the folds and of each training.
        computing: on what, and in which dtype.
        console: told of the progress.
        epochs: instead of the recipe's own.
        start: weights that each network starts with, of the recipe's architecture; None draws them.
        most: how many mistakes to list.

    Raises:
        TrainingError: the pictures are so few, or copies of so few, that a network would have fewer than two to
            learn from, or that no class is both learnt and judged; or they are too small for the recipe's network.

    Source: out-of-sample probabilities, as in confident learning (Northcutt et al., arXiv 1911.00068).
    """
    whole = _joined(dataset)
    recipe, spec = _made_to_judge(recipe, whole)
    fold_of = _folds(dataset, whole, folds=folds, seed=seed)
    _require_enough_to_learn(dataset, fold_of, folds=folds)
    can_judge = _can_judge(dataset, whole.targets, fold_of, console=console)
    probabilities = torch.empty(len(whole), len(dataset.labels))
    left = ""
    judging = fold_of[can_judge].unique().tolist()  # of few pictures some folds have none to judge
    for number, fold in enumerate(judging, start=1):
        judged, learnt = (
            torch.nonzero(some).flatten() for some in ((fold_of == fold) & can_judge, fold_of != fold)
        )
        tell(
            console,
            f"network {number} of {len(judging)}: {len(learnt):,} pictures to learn from, "
            f"{len(judged):,} to judge{left}",
        )
        trained = train(
            fit_to_data(recipe, len(learnt), size=(spec.height, spec.width), epochs=epochs),
            Split(whole.images[learnt], whole.targets[learnt]),
            classes=len(dataset.labels),
            spec=spec,
            seed=seed,
            computing=computing,
            console=console,
            start=start,
        )
        left = f"; about {time_left((len(judging) - number) * trained.seconds)}"
        probabilities[judged] = single_view(trained.network, whole.images[judged])
    pictures = chosen(whole, can_judge)
    calibrated = _calibrated(probabilities[can_judge], pictures.targets)
    return find_label_mistakes(pictures, calibrated, labels=dataset.labels, most=most)


def _joined(dataset: Dataset) -> Split:
    parts = {"train": dataset.train, "test": dataset.test}
    if dataset.val is not None:
        parts["val"] = dataset.val
    return Split(
        torch.cat([split.images for split in parts.values()]),
        torch.cat([split.targets for split in parts.values()]),
        tuple(name for part, split in parts.items() for name in split.names(part)),
    )


def _made_to_judge(recipe: Recipe, pictures: Split) -> tuple[Recipe, InputSpec]:
    """Make the recipe fit the pictures, and leave none of them out.

    Raises:
        TrainingError: they are too small for its network.
    """
    if isinstance(recipe, LargeBatchRecipe):
        recipe = replace(recipe, selection=None)  # what is hardest is what is labelled wrongly
    height, width = pictures.images.shape[1:3]
    require_size(recipe, (height, width))
    recipe = mind_flat_pictures(recipe, pictures.images)
    return recipe, InputSpec(height=height, width=width, mean=recipe.mean, std=recipe.std)


def _folds(dataset: Dataset, whole: Split, *, folds: int, seed: int) -> Tensor:
    """Draw the fold of each picture, int64 (n,): class by class they are dealt out in turn, copies as one.

    Copies that lie in two classes count as of the smaller one, which can spare them less.
    """
    first = inspect_dataset(dataset).first_of_copies
    together = [first.get(file, file) for file in whole.names("picture")]
    size = torch.bincount(whole.targets).tolist()
    class_of: dict[str, int] = {}
    for key, target in zip(together, whole.targets.tolist(), strict=True):
        class_of[key] = min(class_of.get(key, target), target, key=lambda one: (size[one], one))
    keys = sorted(class_of)
    shuffled = torch.randperm(len(keys), generator=torch.Generator().manual_seed(seed)).tolist()
    in_turn = sorted(zip((class_of[key] for key in keys), shuffled, keys, strict=True))
    fold_of = {key: turn % folds for turn, (_, _, key) in enumerate(in_turn)}
    return torch.tensor([fold_of[key] for key in together])


def _require_enough_to_learn(dataset: Dataset, fold_of: Tensor, *, folds: int) -> None:
    """Refuse folds of which one leaves fewer than two pictures to learn from.

    Raises:
        TrainingError: one does.
    """
    fewest = len(fold_of) - int(torch.bincount(fold_of, minlength=folds).max())
    if fewest < 2:
        raise TrainingError(
            f"{dataset.name} cannot be judged in {folds} folds: copies of one picture are in the same fold, and "
            f"without the largest fold {fewest} of {len(fold_of)} pictures would be left to learn from. Add other "
            "pictures."
        )


def _can_judge(dataset: Dataset, targets: Tensor, fold_of: Tensor, *, console: Console) -> Tensor:
    """Find the pictures whose class lies in several folds, bool (n,), and tell which classes do not.

    Raises:
        TrainingError: none does.
    """
    is_in = torch.zeros(len(dataset.labels), int(fold_of.max()) + 1, dtype=torch.bool)
    is_in[targets, fold_of] = True
    can_judge = (is_in.sum(1) > 1)[targets]
    left = [dataset.labels[target] for target in sorted(set(targets[~can_judge].tolist()))]
    why = "copies of one picture are in the same fold, and without it no picture of such a class would be learnt"
    if not can_judge.any():
        raise TrainingError(f"{dataset.name} cannot be judged: {why}. Add other pictures.")
    if left:
        tell(console, f"not judged: {', '.join(left)}; {why}")
    return can_judge


def _calibrated(probabilities: Tensor, targets: Tensor) -> Tensor:
    """Take out what the networks are too sure of: float32 (n, classes), as they came."""
    logits = probabilities.clamp_min(1e-12).log()
    return torch.softmax(logits / fit_temperature(logits, targets), dim=1)
