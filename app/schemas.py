"""The shapes of the answers, as the OpenAPI page shows them."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


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
    labels_added: list[str] = Field(description="labels that the previous model did not have")
    labels_removed: list[str] = Field(description="labels that only the previous model had")
    labels_moved: list[str] = Field(description="labels of both that have another class_index now")


class HealthBody(BaseModel):
    """The state of the service, for people."""

    status: Literal["ok"]
    model: ModelReference
    engine: str
    device: str
    dtype: str
    version: str = Field(description="of the service")
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
    """With a temperature of 1 and no floor, and with the fitted ones."""

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
    floor: float = Field(description="probability that is taken off behind the temperature; 0: none")
    six_views_floor: float
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


class DemoParameterBody(BaseModel):
    """What can be changed in a demo, and how far."""

    name: str
    kind: Literal["integer", "number", "choice"]
    default: int | float | str
    minimum: int | float | None
    maximum: int | float | None
    step: int | None = Field(description="between two whole numbers that are allowed, from the minimum")
    choices: list[str] | None
    help: str


class DemoBody(BaseModel):
    """A demo of the tensor lab."""

    name: str
    title: str
    summary: str
    parameters: list[DemoParameterBody]


class DemosBody(BaseModel):
    """The answer to GET /tensors."""

    demos: list[DemoBody] = Field(description="in the order in which a learner meets them")
    devices: list[str] = Field(description="where the demos can run: cpu, and cuda where there is one")
    torch: str


class TensorBody(BaseModel):
    """A tensor or a NumPy array that the code of a step names, as it was after the step."""

    name: str
    kind: Literal["tensor", "array"]
    shape: list[int]
    dtype: str
    device: str
    strides: list[int] = Field(description="in elements")
    values: object = Field(
        description="nested lists of numbers and booleans, NaN and infinities as text; null where `note` says why"
    )
    note: str | None
    memory: str = Field(description="equal for all that look at the same memory, in the whole answer")
    shares_memory_with: list[str] = Field(description="other variables that look at it after this step")
    requires_grad: bool


class GraphNodeBody(BaseModel):
    """A function that ran, or a leaf that gradients are collected in."""

    id: str = Field(description="n0 is the function that made the result")
    label: str
    kind: Literal["function", "leaf"]


class GraphEdgeBody(BaseModel):
    """The way that the data took, from one node into the next."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    source: str = Field(alias="from")
    target: str = Field(alias="to")


class GraphBody(BaseModel):
    """The autograd graph behind a result."""

    nodes: list[GraphNodeBody]
    edges: list[GraphEdgeBody]


class StepBody(BaseModel):
    """One step of a demo."""

    title: str
    explanation: str
    code: str
    output: str = Field(description="as PyTorch prints it")
    duration_ms: float
    tensors: list[TensorBody]
    graph: GraphBody | None


class DemoRunBody(BaseModel):
    """The answer to GET /tensors/{demo}."""

    demo: str
    title: str
    summary: str
    parameters: dict[str, int | float | str] = Field(description="all of them, as they were used")
    torch: str
    duration_ms: float
    code: str = Field(description="the whole script, as it ran")
    steps: list[StepBody]


class ProblemBody(BaseModel):
    """Any failure: RFC 9457 with a stable code."""

    type: str
    title: str
    status: int
    detail: str = Field(description="what happened, what was received, what to do")
    code: str = Field(description="stable; see docs/api.md")
    request_id: str
