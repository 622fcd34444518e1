"""What can go wrong in the service, below the tree of models/errors.py.

InputError
└── RequestError                  the request itself cannot be used, whatever the picture
    ├── BodyTooLargeError         more bytes than the limit
    ├── UploadTimeoutError        it did not arrive in time
    ├── HeaderTooLargeError       its header is longer than the limit
    ├── MalformedRequestError     it is no HTTP, or asks for what only a proxy does
    ├── UnsupportedMediaTypeError neither a form nor a picture
    ├── MalformedFormError        the multipart form cannot be read
    ├── MissingFileError          the form has no file where one is expected
    ├── TooManyFilesError         more files in one request than the limit
    ├── ParameterError            a query parameter or header out of its range
    └── UnknownDemoError          the tensor lab has no demo of this name
GlimpseError
├── StartError                    it cannot run as it was set up; the operator hears it
│   ├── SettingsError             a setting has a name or a value that cannot be used
│   ├── ListenError               the address is taken, or not of this machine
│   ├── AnotherCheckpointError    the file is not the one whose digest was given
│   ├── MissingEngineError        the engine is not there or broken, or does not run on that device
│   └── DeviceError               the device is not there, or cannot hold the network
├── UnavailableError              not now; come back later
│   ├── NotReadyError             starting, stopping, or giving wrong answers
│   └── OverloadedError           more is asked for than there is time or room for
├── DeadlineError                 the time that the caller gave is over
├── AdminKeyError                 the key for /model/reload is missing or wrong
├── ReloadError                   the new checkpoint was refused; the old one goes on
├── ExplanationUnavailableError   what explains an answer is not installed
└── EngineError                   the engine failed on pixels that were fine
    └── EngineLostError           and will fail on all others; only a new process helps
"""

from typing import Literal

from models.errors import GlimpseError, InputError

Reason = Literal[
    "deadline", "queue_full", "bodies_full", "explanations_full", "no_memory", "lab_busy", "not_ready"
]
"""Why a request is refused: all but the last are overload."""


class RequestError(InputError):
    """The request itself cannot be used, whatever the picture."""


class BodyTooLargeError(RequestError):
    """More bytes came, or were announced, than the limit allows.

    Attributes:
        is_let_by: the rest of the body is read and forgotten, so that the connection can stay.
    """

    def __init__(self, message: str, *, is_let_by: bool = False) -> None:
        super().__init__(message)
        self.is_let_by = is_let_by


class UploadTimeoutError(RequestError):
    """Header and body did not arrive in time."""


class HeaderTooLargeError(RequestError):
    """The header of the request is longer than the limit."""


class MalformedRequestError(RequestError):
    """What came is no HTTP, or asks for what only a proxy does."""


class UnsupportedMediaTypeError(RequestError):
    """The Content-Type is neither a form nor a picture."""


class MalformedFormError(RequestError):
    """The multipart form cannot be read."""


class MissingFileError(RequestError):
    """The form has no file in the field where one is expected."""


class TooManyFilesError(RequestError):
    """There are more files in the request than the limit allows."""


class ParameterError(RequestError):
    """A query parameter or a header is out of its range."""


class UnknownDemoError(RequestError):
    """The tensor lab has no demo of this name."""


class StartError(GlimpseError):
    """The service cannot run as it was set up; the operator hears it, at the start or in a reload."""


class SettingsError(StartError):
    """A setting has a name or a value that cannot be used."""


class ListenError(StartError):
    """The address is taken, or not of this machine."""


class AnotherCheckpointError(StartError):
    """The checkpoint is not the file whose digest was given."""


class MissingEngineError(StartError):
    """The engine that was asked for is not installed or cannot be loaded, or does not run on that device."""


class DeviceError(StartError):
    """The device that was asked for is not there, or cannot hold the network."""


class UnavailableError(GlimpseError):
    """The service cannot answer now.

    Attributes:
        retry_after_s: whole seconds after which it is worth asking again, at least 1.
        reason: what was lacking, for the operator's metrics and log; docs/operations.md says what to do.
    """

    def __init__(self, message: str, *, retry_after_s: int, reason: Reason) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.reason = reason


class NotReadyError(UnavailableError):
    """The service is starting, stopping, or does not give right answers.

    Attributes:
        is_another_ready: a process beside this one would answer, on another connection.
    """

    def __init__(self, message: str, *, retry_after_s: int = 5, is_another_ready: bool = False) -> None:
        # 5 s: about the time of a start
        super().__init__(message, retry_after_s=retry_after_s, reason="not_ready")
        self.is_another_ready = is_another_ready


def stopped_too_soon() -> NotReadyError:
    """Make the error of a request that had not arrived, or had no answer yet, when the time of a stop was over."""
    return NotReadyError("The service stopped before the request was answered. Send it elsewhere.")


class OverloadedError(UnavailableError):
    """More is asked for than there is time or room for; `reason` says for want of what."""


class DeadlineError(GlimpseError):
    """The time that the caller gave is over."""


class AdminKeyError(GlimpseError):
    """The key for what only the operator may do is missing or wrong."""


class ReloadError(GlimpseError):
    """The new checkpoint was refused; the old one goes on."""


class ExplanationUnavailableError(GlimpseError):
    """What explains an answer is not installed."""


class EngineError(GlimpseError):
    """The engine failed on pixels that were fine."""


class EngineLostError(EngineError):
    """The engine fails on everything from now on, or does not come back; only a new process helps."""
