"""The named training configurations; every number with its source.

A recipe is a frozen table: what stands here is what runs, and the whole table goes into the
checkpoint. Learning rates are for a loss that is summed over the batch, so that they follow the batch
size by themselves.
"""

from dataclasses import dataclass, replace

from models.networks import Architecture
from models.preprocessing import CIFAR10_MEAN, CIFAR10_STD


@dataclass(frozen=True)
class TutorialRecipe:
    """The beginner's recipe to the letter: 54 % on CIFAR-10 after two epochs.

    Source: PyTorch tutorials, "Training a classifier".
    """

    name: str = "tutorial"
    architecture: Architecture = Architecture("tutorial")
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    epochs: int = 2
    batch_size: int = 4
    workers: int = 2
    lr: float = 0.001
    momentum: float = 0.9
    report_every: int = 2_000  # mini-batches
    unmirrored: bool | None = None  # it shows no mirror images anyway: whether six views leave them out, too


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that share an optimizer and a learning rate.

    Attributes:
        parameters: `stem_bias`, `shifts` (of the batch norms), `head` or `filters`.
        optimizer: `sgd`, with Nesterov momentum, or `muon`.
        lr: its highest.
        rests_after: epochs after which the parameters stay as they are; None means never. The rate
            falls to zero there.
    """

    parameters: str
    optimizer: str
    lr: float
    rests_after: float | None = None


@dataclass(frozen=True)
class Lookahead:
    """A slow copy of the network that follows it, and from which it goes on.

    Every so many steps: slow ← a · slow + (1 − a) · network, then network ← slow, where
    a = strength · (share of the run)³.

    Source: airbench96, after arXiv 1907.08610.
    """

    every: int = 5  # steps
    strength: float = 0.95**5


@dataclass(frozen=True)
class Teaching:
    """How a teacher's answers are learnt instead of the labels.

    Each picture has another one mixed in (`training.augment.mix`): a teacher knows those that it learnt from by
    heart, and says little more of them than their labels do. The student sees the very mixture that the teacher
    answered. Where it is covered (`cutout`) or treated as a phone photo (`photograph_share`) it sees the spoilt
    copy and learns the answer to the clean one: what the teacher made of it before it was spoilt is nearer to
    the truth.

    Attributes:
        temperature: both networks' logits are divided by it.
    Source:
        Beyer et al., arXiv 2106.05237: "consistent and patient", and mixed; the temperature is that of their
        published configuration for ImageNet, and no label is used beside the teacher.
    """

    temperature: float = 1.0


@dataclass(frozen=True)
class Selection:
    """Of each batch only the pictures are learnt that a small network finds hardest (`training/selection.py`).

    Attributes:
        share: of each batch, that is learnt.
        widths: channels of the small network's groups; else it is built as the large one.
        learns_every: steps between two of the small network's own; it rates the pictures at each.
    Source:
        airbench96_faster.
    """

    share: float = 0.5
    widths: tuple[int, ...] = (32, 64, 64)
    learns_every: int = 4

    def pictures_of(self, batch_size: int) -> int:
        """Count what is learnt of a batch: two pictures at least, or batch norms had no spread."""
        return min(batch_size, max(2, round(batch_size * self.share)))


@dataclass(frozen=True, kw_only=True)
class LargeBatchRecipe:
    """What the recipes with large batches have in common: one loop reads all of them (training/loop.py).

    Attributes:
        epochs: passes over the pictures.
        batch_size: pictures a step, before any are selected.
        resolutions: (until this share of the epochs, side length as a share of the input's).
        smallest_resized: pictures with a side of fewer pixels are not made smaller still.
        fewest_steps: a small data set is passed more often, until this many steps are made.
        shift: largest shift in each direction over a reflected border, in pixels.
        unmirrored: whether no mirror images are shown, since these are another class (letters, arrows); None, as
            in a run of a version without this field, shows each picture and its mirror image by turns.
        cutout: side of the square that is covered in each picture, in pixels; 0 means none.
        photograph_share: of the pictures, that are treated as phone photos are (`training/photographs.py`).
        trivial_augment_share: of the pictures, that are changed in one random way (`training/trivial_augment.py`);
            None, as in a run of a version without this field, changes none.
        label_smoothing: share of the target that is spread over all classes.
        stem_pictures: that the whitening is fitted on.
        groups: what trains which parameters, and how fast.
        schedule: knots (share of the run, factor of each learning rate), joined by straight lines.
        sgd_momentum: Nesterov.
        muon_momentum: Nesterov; unused where no group names Muon.
        decay_per_picture: a step of weight decay is this × batch size × the schedule's factor, whatever
            the rate; not for Muon.
        lookahead: None means none.
        selection: how the pictures are selected that a step learns from; None means that it learns from all.
        teaching: how a teacher's answers are learnt; None means that the labels are learnt.
    """

    name: str
    architecture: Architecture
    mean: tuple[float, float, float] = CIFAR10_MEAN
    std: tuple[float, float, float] = CIFAR10_STD
    epochs: int
    batch_size: int
    resolutions: tuple[tuple[float, float], ...]
    smallest_resized: int = 24  # three halvings of less would leave nothing
    fewest_steps: int
    shift: int
    unmirrored: bool | None = None
    cutout: int = 0
    photograph_share: float = 0.0
    trivial_augment_share: float | None = None
    label_smoothing: float
    stem_pictures: int = 5_000  # arXiv 2404.00498
    groups: tuple[ParameterGroup, ...]
    schedule: tuple[tuple[float, float], ...]
    sgd_momentum: float = 0.85  # arXiv 2404.00498
    muon_momentum: float = 0.6
    decay_per_picture: float
    lookahead: Lookahead | None = None
    selection: Selection | None = None
    teaching: Teaching | None = None


Recipe = TutorialRecipe | LargeBatchRecipe

FAST = LargeBatchRecipe(
    name="fast",
    architecture=Architecture("fast"),
    # 8 epochs at full size give 94.0 %; 10 with the first six smaller cost the same time here and
    # leave a margin (docs/experiments.md). Small pictures first: Fulcrum's CIFAR-10 speedrun, 2026.
    epochs=10,
    batch_size=2_000,
    resolutions=((0.3, 0.75), (0.6, 0.875), (1.0, 1.0)),
    fewest_steps=200,  # the record's 8 × 25
    shift=2,
    label_smoothing=0.2,
    groups=(
        ParameterGroup("stem_bias", "sgd", lr=0.053, rests_after=3.0),
        ParameterGroup("shifts", "sgd", lr=0.053),
        ParameterGroup("head", "sgd", lr=0.67),
        ParameterGroup("filters", "muon", lr=0.24),
    ),
    schedule=((0.0, 1.0), (1.0, 0.0)),
    decay_per_picture=2e-6,
)
"""94 % on CIFAR-10 in minutes on two CPU cores.

Source: airbench94_muon (arXiv 2404.00498 and its repository: 94.01 %, n=200, 8 epochs), but for
the epochs, resolutions and fewest steps; docs/training.md tells what each part is for.
"""

_LR_96 = 9.0 / (1024 * (1 + 1 / (1 - 0.85)))
"""airbench96 gives 9.0 per 1,024 pictures, for a step that momentum 0.85 does not lengthen: 1.1464e-3."""

ACCURATE = LargeBatchRecipe(
    name="accurate",
    architecture=Architecture("residual"),
    # The record's, all at full size: 44 without selection, of which 18 were at 24 pixels and 11 at 28, ended at
    # 95.75 % (docs/experiments.md).
    epochs=45,
    batch_size=1_024,
    resolutions=((1.0, 1.0),),
    fewest_steps=400,  # not tuned: twice those of `fast`, since SGD arrives later than Muon
    shift=4,
    cutout=12,
    label_smoothing=0.2,
    groups=(
        ParameterGroup("stem_bias", "sgd", lr=_LR_96),
        ParameterGroup("shifts", "sgd", lr=64 * _LR_96),
        ParameterGroup("head", "sgd", lr=_LR_96),
        ParameterGroup("filters", "sgd", lr=_LR_96),
    ),
    schedule=((0.0, 0.2), (0.1, 1.0), (1.0, 0.0)),
    decay_per_picture=0.012 * _LR_96 / 9.0,  # 0.012 a kilostep: coefficient 1.36533 at 1,024
    lookahead=Lookahead(),
    selection=Selection(),
)
"""The network for 96 % on CIFAR-10 with six views, in two hours or three on two CPU cores.

Source: airbench96_faster (repository: 96.00 %, n=200), but for the fewest steps and for what
`training/selection.py` does otherwise.
"""

COMPACT = replace(
    ACCURATE,
    name="compact",
    architecture=Architecture("residual", {"widths": (64, 192, 256)}),
    epochs=80,  # not tuned: what fits into an hour and a half on two cores
)
"""The residual network with half the channels, 220 MFLOP a picture.

It was the `fast` network first, 211 MFLOP, for which 95.09 % with six views is the most that is published (80
epochs, n=8, no teacher; airbench's notes on singular values). This one, with 80 passes and the
selection, reached 95.46 % (n=1, 46,000 pictures; docs/experiments.md, where nothing tells which of the three
did it).
"""

TAUGHT = replace(
    COMPACT,
    name="taught",
    # Those of the run with the most right in one view, whose rates fell otherwise (docs/experiments.md).
    epochs=124,
    cutout=0,
    selection=None,
    teaching=Teaching(),
)
"""The network of `compact`, taught by larger ones, from nothing: patiently, so on a GPU.

Every picture of a batch is learnt, so a step moves the filters as airbench96 does without selection. There is
no square, for a mixture covers a picture already.

Source: Beyer et al., arXiv 2106.05237.
"""

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe for recipe in (TutorialRecipe(), FAST, ACCURATE, COMPACT, TAUGHT)
}


def is_taught(recipe: Recipe) -> bool:
    """Whether a recipe learns a teacher's answers, and cannot do without one."""
    return isinstance(recipe, LargeBatchRecipe) and recipe.teaching is not None
