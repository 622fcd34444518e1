"""The shapes of the answers, as the OpenAPI page shows them."""

from typing import Literal

from pydantic import BaseModel, Field


class PredictionBody(BaseModel):
    """One label and its probability."""

    label: str
    class_index: int
    score: float = Field(description="probability, 0…1")


class ImageBody(BaseModel):
    """What was received, upright, before any reduction."""

    format: str
    width: int
    height: int


class ModelReference(BaseModel):
    """Which file answered."""

    name: str
    digest: str = Field(description="sha256: of the checkpoint file, as sha256sum prints it")


class PredictBody(BaseModel):
    """The answer to POST /predict."""

    predictions: list[PredictionBody] = Field(description="best first")
    abstain: bool = Field(
        description="the best score is too low, or the picture too far from all classes: do not rely on it"
    )
    image: ImageBody
    model: ModelReference
    request_id: str


class ItemBody(BaseModel):
    """What became of one file of a batch: its labels, or its problem."""

    filename: str
    predictions: list[PredictionBody] | None = Field(
        None, description="best first; missing where there is a problem"
    )
    abstain: bool | None = None
    image: ImageBody | None = None
    problem: "ProblemBody | None" = Field(None, description="what the file alone would have been answered")


class BatchBody(BaseModel):
    """The answer to POST /predict/batch."""

    results: list[ItemBody] = Field(description="one for each file, in order")
    model: ModelReference
    request_id: str


class WindowBody(BaseModel):
    """A part of the upright picture, as fractions of its width and height."""

    left: float
    top: float
    right: float
    bottom: float


class ExplanationBody(BaseModel):
    """The answer to POST /explain."""

    label: str
    class_index: int
    score: float = Field(description="probability of this class, 0…1")
    method: str
    layer: str = Field(description="of the network, whose map is shown")
    heat: list[list[float]] = Field(
        description="rows from the top, 0…1, 1 where the evidence is strongest; all 0 where nothing speaks for it"
    )
    window: WindowBody = Field(description="the part that the network sees, over which the heat map lies")
    model: ModelReference
    request_id: str


class ReloadBody(BaseModel):
    """The answer to POST /model/reload."""

    model: ModelReference
    previous: ModelReference


class HealthBody(BaseModel):
    """The state of the service, for people."""

    status: Literal["ok"]
    model: ModelReference
    engine: str
    device: str
    dtype: str
    uptime_s: float


class StatusBody(BaseModel):
    """The state of the service, for orchestrators."""

    status: Literal["live", "ready"]


class InputBody(BaseModel):
    """What a picture becomes before the network sees it."""

    height: int
    width: int
    resize: str
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class ArchitectureBody(BaseModel):
    """The network and what it was built with."""

    name: str
    arguments: dict[str, object]


class ReliabilityBody(BaseModel):
    """How far scores are from the truth."""

    negative_log_likelihood: float
    brier: float
    expected_calibration_error: float = Field(description="15 bins of equal width")
    adaptive_calibration_error: float = Field(description="15 bins of equally many pictures")


class BeforeAndAfterBody(BaseModel):
    """With a temperature of 1, and with the fitted one."""

    before: ReliabilityBody
    after: ReliabilityBody


class HeldOutBody(BaseModel):
    """What temperatures and thresholds were fitted on, and how well they fit there."""

    n: int
    reliability: dict[str, BeforeAndAfterBody] = Field(description="for single_view and six_views")
    accepted: float = Field(description="share without abstain")
    accuracy_of_accepted: float | None


class CalibrationBody(BaseModel):
    """How the logits are read, and when the answer abstains."""

    temperature: float
    abstain_threshold: float | None = Field(description="of the best score; lower abstains")
    distance_threshold: float | None = Field(description="of the distance from the classes; higher abstains")
    six_views_temperature: float
    held_out: HeldOutBody | None


class ScoreBinBody(BaseModel):
    """Answers whose score lies between two bounds."""

    lower: float
    upper: float
    n: int
    score: float = Field(description="their mean score")
    accuracy: float = Field(description="share of them that is right")


class CoverageBody(BaseModel):
    """What is right of the most confident answers."""

    coverage: float = Field(description="share of the pictures that is answered")
    n: int
    accuracy: float = Field(description="share of these answers that is right")
    score: float = Field(description="the lowest score among them")


class MetricsBody(BaseModel):
    """What was measured on pictures that the training did not see; fractions from 0 to 1."""

    split: str
    n: int
    accuracy: dict[str, float]
    per_class: dict[str, float | None]
    confusion_matrix: list[list[int]] = Field(description="rows are true classes, columns predicted ones")
    expected_calibration_error: float
    accepted: float | None = Field(description="share without abstain; null in files from before the rule")
    accuracy_of_accepted: float | None
    reliability_bins: list[ScoreBinBody] | None = Field(
        description="of 15 bins of equal width those with answers; null in files from before them"
    )
    coverage: list[CoverageBody] | None = Field(description="for growing shares; null in files from before it")


class TrainingBody(BaseModel):
    """The run that made the weights."""

    recipe: str
    configuration: dict[str, object]
    seed: int
    data_fingerprint: str
    commit: str
    torch: str
    hardware: str
    seconds: float


class ModelBody(BaseModel):
    """Everything the checkpoint says about its model."""

    name: str
    digest: str
    labels: list[str]
    architecture: ArchitectureBody
    input: InputBody
    calibration: CalibrationBody
    metrics: MetricsBody
    training: TrainingBody
    created_at: str


class ProblemBody(BaseModel):
    """Any failure: RFC 9457 with a stable code."""

    type: str
    title: str
    status: int
    detail: str = Field(description="what happened, what was received, what to do")
    code: str = Field(description="stable; see docs/api.md")
    request_id: str
