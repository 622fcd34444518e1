"""What a training command refuses, with a sentence for the person who typed it."""

from models.errors import GlimpseError


class TrainingError(GlimpseError):
    """The command cannot be carried out as it was given."""


class ExportError(TrainingError):
    """The checkpoint cannot be written in another format, or answers differently in it."""


class DataError(TrainingError):
    """The data set cannot be used as it is."""
