"""One model in one file: what comes back, and how each fault of the file is refused."""

import dataclasses
import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models import checkpoint, errors, golden
from models.calibration import Calibration
from models.errors import CheckpointError, HeaderError
from models.graph import Graph, answer
from models.networks import Architecture, build
from models.networks.network import Network
from models.record import Record
from tests.forgery import ANSWERS, FORGERIES, Edit, Fields, Tensors, forge, refusal, replace, set_fields, sha256


def test_what_was_saved_is_loaded(tmp_path: Path, network: Network, record: Record) -> None:
    """Weights, record and golden pictures come back equal, and both digests are that of the file."""
    path = tmp_path / "a.safetensors"
    digest = checkpoint.save(path, network, record)
    loaded = checkpoint.load(path)
    assert loaded.record == record
    assert loaded.digest == digest == "sha256:" + sha256(path.read_bytes())
    torch.testing.assert_close(loaded.network.state_dict(), network.state_dict(), atol=0, rtol=0)
    np.testing.assert_array_equal(loaded.golden_images, golden.draw(32, 32))
    answers = answer(Graph(network.eval(), None), golden.draw(32, 32))
    np.testing.assert_allclose(loaded.golden_probabilities, answers, atol=1e-6)


def test_the_fast_network_is_loaded_too(tmp_path: Path, record: Record) -> None:
    """Running statistics, counters and chosen widths survive; a bfloat16 network comes back as float32."""
    record = dataclasses.replace(record, architecture=Architecture("fast", {"widths": [8, 16, 16]}))
    network = build(record.architecture, classes=3, spec=record.input)
    network(torch.from_numpy(golden.draw(32, 32)))
    network.to(torch.bfloat16)
    checkpoint.save(tmp_path / "a.safetensors", network, record)
    loaded = checkpoint.load(tmp_path / "a.safetensors")
    assert loaded.record == record
    state = loaded.network.state_dict()
    assert state["groups.0.norm1.num_batches_tracked"] == 1
    assert {tensor.dtype for tensor in state.values()} == {torch.float32, torch.int64}
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(state[name], tensor.to(state[name].dtype), atol=0, rtol=0)


@pytest.mark.parametrize(("temperature", "allowed"), [(0.5, 0.002), (1.0, 0.001), (2.0, 0.001)])
def test_a_low_temperature_sharpens_rounding_too(path: Path, temperature: float, allowed: float) -> None:
    """Logits over a temperature of a half differ by twice as much; a high one allows no less."""
    loaded = checkpoint.load(path)
    calibration = dataclasses.replace(loaded.record.calibration, temperature=temperature)
    sharpened = dataclasses.replace(loaded, record=dataclasses.replace(loaded.record, calibration=calibration))
    assert sharpened.golden_tolerance(0.001) == pytest.approx(allowed)


def test_a_checkpoint_is_referred_to_by_name_and_digest(path: Path, record: Record) -> None:
    """One object for all answers; another file, another reference."""
    loaded = checkpoint.load(path)
    assert loaded.reference == {"name": record.name, "digest": loaded.digest}
    assert loaded.reference is loaded.reference
    assert dataclasses.replace(loaded, digest="sha256:0").reference["digest"] == "sha256:0"


def test_a_loaded_network_is_ready_to_serve(path: Path) -> None:
    """It is in evaluation mode, frozen, on the CPU, with its filters channels-last."""
    network = checkpoint.load(path).network
    assert not any(module.training for module in network.modules())
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert {parameter.device.type for parameter in network.parameters()} == {"cpu"}
    assert network.get_parameter("conv2.weight").is_contiguous(memory_format=torch.channels_last)


def test_the_graph_of_a_checkpoint_gives_the_golden_answers(path: Path) -> None:
    """One row for each golden picture, one column for each label."""
    loaded = checkpoint.load(path)
    answers = answer(loaded.graph, loaded.golden_images)
    assert answers.shape == (8, loaded.answer_columns)
    np.testing.assert_allclose(answers, loaded.golden_probabilities, atol=1e-6)


def test_the_temperature_is_part_of_the_model(tmp_path: Path, network: nn.Module, record: Record) -> None:
    """A calibrated checkpoint answers with its logits divided by the temperature of its record."""
    cooled = dataclasses.replace(record, calibration=Calibration(temperature=4.0))
    checkpoint.save(tmp_path / "a.safetensors", network, cooled)
    images = torch.from_numpy(golden.draw(32, 32))
    logits = checkpoint.load(tmp_path / "a.safetensors").network(images)
    torch.testing.assert_close(logits, network.eval()(images) / 4, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_network_that_diverged_is_not_saved(
    path: Path, network: nn.Module, record: Record, value: float
) -> None:
    """The file that was there survives, and nothing is left over."""
    before = path.read_bytes()
    with torch.no_grad():
        network.get_parameter("fc2.bias")[7] = value
    with pytest.raises(errors.NotFiniteError, match=r"fc2.bias holds 1 values that are NaN or infinite"):
        checkpoint.save(path, network, record)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_new_file_takes_the_place_of_the_old_one(path: Path, network: nn.Module, record: Record) -> None:
    """Saving over a checkpoint leaves the new one alone in the folder."""
    checkpoint.save(path, network, dataclasses.replace(record, name="other"))
    assert checkpoint.load(path).record.name == "other"
    assert list(path.parent.iterdir()) == [path]


def test_a_network_that_does_not_fit_its_record_is_not_saved(
    path: Path, network: nn.Module, record: Record
) -> None:
    """Another architecture or another number of labels is seen before anything is written."""
    before = path.read_bytes()
    with pytest.raises(errors.TensorKeysError, match="do not belong to the network 'fast'"):
        checkpoint.save(path, network, dataclasses.replace(record, architecture=Architecture("fast")))
    with pytest.raises(errors.TensorShapeError, match="'tutorial' with 2 labels needs"):
        checkpoint.save(path, network, dataclasses.replace(record, labels=("red", "green")))
    assert path.read_bytes() == before


@pytest.mark.parametrize("fault", ["two equal labels", "an empty label", "answers that are no numbers"])
def test_what_could_not_be_loaded_is_not_saved(path: Path, network: nn.Module, record: Record, fault: str) -> None:
    """A checkpoint that could not be loaded again is not written."""
    labels = {"two equal labels": ("a", "a", "b"), "an empty label": ("", "a", "b")}.get(fault, record.labels)
    if fault == "answers that are no numbers":
        nn.init.constant_(network.get_parameter("fc3.weight"), 3e38)
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match=r"label|probabilit|answers"):
        checkpoint.save(path, network, dataclasses.replace(record, labels=labels))
    assert path.read_bytes() == before


def test_a_forged_file_is_otherwise_whole(path: Path) -> None:
    """Writing the file again without a change loads, so each forgery below is refused for its fault alone."""
    forge(path, lambda *_: None)
    assert checkpoint.load(path).record.name == "tiny"


@pytest.mark.parametrize("fault", FORGERIES)
def test_a_fault_with_right_digests_is_called_by_its_name(path: Path, fault: str) -> None:
    """Each fault has its own error and its own sentence, even where both digests fit the file."""
    edit, expected, sentence = FORGERIES[fault]
    forge(path, edit)
    refusal(path, expected, sentence)


@pytest.mark.parametrize("fault", FORGERIES)
def test_the_message_says_what_to_do(path: Path, fault: str) -> None:
    """Behind what happened stands what the operator can do about it."""
    edit, expected, _ = FORGERIES[fault]
    forge(path, edit)
    assert re.search(r"[.;] ([Tt]rain|[Rr]estore|Upgrade|Use) ", refusal(path, expected))


def test_edited_text_is_refused(path: Path) -> None:
    """One changed label is seen by the digest of the text."""
    path.write_bytes(path.read_bytes().replace(b"green", b"grean", 1))
    refusal(path, errors.TextDigestError, "the text about the model does not match its digest")


@pytest.mark.parametrize("place", [-1, -100_000, -200_000])
def test_a_changed_weight_is_refused(path: Path, place: int) -> None:
    """One changed byte of a tensor is seen by the digest of the tensors."""
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    refusal(path, errors.TensorDigestError, "the tensors do not match their digest")


def test_every_fault_has_a_sentence_of_its_own(path: Path) -> None:
    """No two faults share their message, not even two of one class."""
    original = path.read_bytes()
    messages = []
    for edit, expected, sentence in FORGERIES.values():
        path.write_bytes(original)
        forge(path, edit)
        messages.append(refusal(path, expected, sentence))
    path.write_bytes(original.replace(b"green", b"grean", 1))
    messages.append(refusal(path, errors.TextDigestError))
    path.write_bytes(original[:-1] + bytes([original[-1] ^ 1]))
    messages.append(refusal(path, errors.TensorDigestError))
    path.write_bytes(original[:-1])
    messages.append(refusal(path, HeaderError))
    path.unlink()
    messages.append(refusal(path, errors.UnreadableCheckpointError))
    assert len(set(messages)) == len(messages)


def test_a_path_without_a_file_is_refused(tmp_path: Path) -> None:
    """A missing file is called unreadable, and the message says how to make a checkpoint."""
    refusal(tmp_path / "missing.safetensors", errors.UnreadableCheckpointError, "No such file.*training train")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_what_is_no_regular_file_is_not_read(tmp_path: Path) -> None:
    """A folder, and a pipe, which would be waited for until somebody writes to it."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        refusal(path, errors.UnreadableCheckpointError, "is no regular file")


def _no_golden_pictures(tensors: Tensors, _: Fields) -> None:
    for name in ("golden.images", "golden.probabilities"):
        tensors[name] = tensors[name][:0].clone()


def _without_prefix(tensors: Tensors, _: Fields) -> None:
    tensors["fc3.bias"] = tensors.pop("network.fc3.bias")


def _with_a_second_bias(tensors: Tensors, _: Fields) -> None:
    tensors["fc3.bias"] = tensors["network.fc3.bias"].clone()


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(set_fields("architecture", name=7), id="name is a number"),
        pytest.param(set_fields("input", mean=["a", "b", "c"]), id="mean of letters"),
        pytest.param(set_fields("input", mean=[float("nan"), 0.5, 0.5]), id="mean of NaN"),
        pytest.param(set_fields("input", height=10**9), id="huge height"),
        pytest.param(set_fields("calibration", temperature=float("inf")), id="infinite temperature"),
        pytest.param(set_fields("calibration", temperature=1e-320), id="tiny temperature"),
        pytest.param(set_fields("architecture", name=[]), id="name is a list"),
        pytest.param(set_fields("architecture", arguments=None), id="arguments are null"),
        pytest.param(set_fields("architecture", arguments=[1]), id="arguments are a list"),
        pytest.param(set_fields("architecture", name="fast", arguments={"widths": []}), id="no widths"),
        pytest.param(set_fields("architecture", name="fast", arguments={"widths": [-1, 2]}), id="negative widths"),
        pytest.param(set_fields("architecture", name="fast", arguments={"widths": [8, 2**62]}), id="huge widths"),
        pytest.param(set_fields("architecture", name="fast", arguments={"widths": [10**400]}), id="absurd widths"),
        pytest.param(set_fields("input", height=10**400), id="absurd height"),
        pytest.param(set_fields("input", height=32.0), id="height with a point"),
        pytest.param(set_fields("input", std=[1e-320, 0.5, 0.5]), id="tiny deviation"),
        pytest.param(set_fields("input", mean=[None, 0.5, 0.5]), id="mean of null"),
        pytest.param(set_fields("input", mean=[10**400, 0.5, 0.5]), id="huge mean"),
        pytest.param(set_fields("calibration", temperature=10**400), id="huge temperature"),
        pytest.param(replace("golden.images", Tensor.bfloat16), id="bfloat16 images"),
        pytest.param(replace("golden.images", lambda x: x[0]), id="one image"),
        pytest.param(replace("golden.images", lambda x: x[:, :16]), id="flat images"),
        pytest.param(replace("golden.images", Tensor.float), id="float images"),
        pytest.param(replace("golden.probabilities", Tensor.bfloat16), id="bfloat16 answers"),
        pytest.param(_no_golden_pictures, id="no golden pictures"),
        pytest.param(
            replace(ANSWERS, lambda x: x[0, 0]),
            id="a single number as answers",
        ),
        pytest.param(_without_prefix, id="a weight without prefix"),
        pytest.param(_with_a_second_bias, id="a weight with and without prefix"),
    ],
)
def test_a_hostile_text_with_right_digests_is_refused(path: Path, edit: Edit) -> None:
    """Whoever can write digests can write anything; it is still a checkpoint error that names the file."""
    forge(path, edit)
    with pytest.raises(CheckpointError, match=re.escape(str(path))):
        checkpoint.load(path)
