"""Everything that can go wrong below the service and the trainer, as one tree.

GlimpseError
├── InputError                     the caller can fix it
│   ├── EmptyBatchError            no picture at all
│   └── PictureError
│       ├── EmptyPictureError      zero bytes
│       ├── UnsupportedFormatError not a picture format that is read here
│       ├── TooManyPixelsError     refused from its header, before decoding
│       └── BrokenPictureError     the format is right, the content is not
└── CheckpointError                the operator can fix it
    ├── UnreadableCheckpointError  no such file, or no permission
    ├── HeaderError                not a safetensors file, truncated, or a damaged header
    ├── TextDigestError            the text about the model was changed
    ├── RecordError                the text is intact but lacks something
    ├── FormatVersionError         written by another generation of Glimpse
    ├── TensorDigestError          the numbers were changed
    ├── ArchitectureError          a network that this Glimpse does not know
    ├── TensorKeysError            a tensor is missing or one too many
    ├── TensorShapeError           a tensor of another shape or dtype
    ├── NotFiniteError             NaN or infinity among the weights
    └── GoldenError                its golden pictures are answered otherwise than when it was saved

A message has three parts: what happened, what was received, what to do.
"""


class GlimpseError(Exception):
    """Any failure that Glimpse can name."""


class InputError(GlimpseError):
    """The caller sent something that the caller can fix."""


class EmptyBatchError(InputError):
    """There is no picture to work on."""


class PictureError(InputError):
    """These bytes cannot become a picture."""


class EmptyPictureError(PictureError):
    """There are no bytes."""


class UnsupportedFormatError(PictureError):
    """The bytes are in none of the formats that are read here."""


class TooManyPixelsError(PictureError):
    """The header announces more pixels than the limit; nothing was decoded."""


class BrokenPictureError(PictureError):
    """The format was recognised, but the content is damaged or cut off."""


class CheckpointError(GlimpseError):
    """A checkpoint file was refused; the operator can fix or replace it."""


class UnreadableCheckpointError(CheckpointError):
    """The file does not exist or cannot be opened."""


class HeaderError(CheckpointError):
    """The file is not a whole safetensors file with Glimpse's metadata."""


class TextDigestError(CheckpointError):
    """The text about the model does not match its digest."""


class RecordError(CheckpointError):
    """The text about the model lacks a field or holds a value that makes no sense."""


class FormatVersionError(CheckpointError):
    """The file was written in a format version that is not read here."""


class TensorDigestError(CheckpointError):
    """Names, shapes, dtypes or bytes of the tensors do not match their digest."""


class ArchitectureError(CheckpointError):
    """The network cannot be built: an unknown name, or arguments that do not fit it."""


class TensorKeysError(CheckpointError):
    """The network needs a tensor that is not there, or there is one that it does not know."""


class TensorShapeError(CheckpointError):
    """A tensor has another shape or dtype than the network needs."""


class NotFiniteError(CheckpointError):
    """A tensor holds NaN or infinity."""


class GoldenError(CheckpointError):
    """The stored pictures do not give the stored answers, or would be asked under other conditions."""
