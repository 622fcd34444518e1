"""One pass over the pictures: their order, and how each is shown to a network."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor

from models.preprocessing import InputSpec
from training.augment import Order, batches, cover, crop, draw_order, mix, resize
from training.fitting import resolution
from training.photographs import photographs
from training.recipes import LargeBatchRecipe
from training.trivial_augment import trivial_augment

Wanted = Callable[[Tensor, Tensor], Tensor]
"""Images, uint8 (batch, height, width, 3), before they are spoilt, and their index (batch,) → what the network
should say: classes, or the logits of teachers."""

Look = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Index (batch,) of pictures → their images as they are shown, and what is wanted for them."""


@dataclass(frozen=True)
class Epoch:
    """A pass that was drawn; whoever draws it again sees the same.

    Attributes:
        recipe: as it is carried out.
        images: uint8 (n, height, width, 3), on the device.
        wanted: of images and their index.
        spec: of the pictures.
        seed: of everything random.
        number: counted from 0.
        order: with the shifts, flips and covered squares, on the device.
    """

    recipe: LargeBatchRecipe
    images: Tensor
    wanted: Wanted
    spec: InputSpec
    seed: int
    number: int
    order: Order

    def batches(self) -> Iterator[Tensor]:
        """Give an index (batch,) for each step; what is left over of a last batch is not shown."""
        return batches(self.order, self.recipe.batch_size)

    def look(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Show some pictures.

        Args:
            index: (batch,).

        Returns:
            Images, uint8 or float32 in 0…255, (batch, height, width, 3), at the epoch's resolution; and what is
            wanted for them.
        """
        # the network eats bytes and takes the mean off itself: the nearest byte to the mean becomes nearly zero
        red, green, blue = (round(255 * mean) for mean in self.spec.mean)
        take = crop if self.recipe.teaching is None else mix
        taken = take(self.images, self.order, index)
        changed = trivial_augment(
            taken, seed=self.seed, epoch=self.number, index=index, share=self.recipe.trivial_augment_share or 0.0
        )
        treated = photographs(
            changed, seed=self.seed, epoch=self.number, index=index, share=self.recipe.photograph_share
        )
        covered = cover(treated, self.order, index, side=self.recipe.cutout, colour=(red, green, blue))
        return resize(covered, resolution(self.recipe, self.number)), self.wanted(changed, index)


def draw_epoch(
    recipe: LargeBatchRecipe, images: Tensor, wanted: Wanted, *, spec: InputSpec, seed: int, number: int
) -> Epoch:
    """Draw order, shifts, flips and covered squares of an epoch, on the CPU, so that they are the same everywhere.

    Args:
        recipe: as it is carried out.
        images: uint8 (n, height, width, 3), on the device.
        wanted: of images and their index.
        spec: of the pictures.
        seed: of everything random.
        number: of the epoch, counted from 0.
    """
    rooms = (spec.height - recipe.cutout, spec.width - recipe.cutout)
    order = draw_order(
        len(images), shift=recipe.shift, seed=seed, epoch=number, rooms=rooms, mirrors=not recipe.unmirrored
    )
    return Epoch(recipe, images, wanted, spec, seed, number, order.to(images.device))
