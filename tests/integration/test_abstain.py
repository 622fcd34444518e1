"""From training to the service: a checkpoint that knows what it does not know."""

import dataclasses
import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image
from rich.console import Console

from app.main import create_app
from app.settings import Settings
from models import checkpoint
from models.calibration import Calibration
from models.checkpoint import load
from models.graph import Graph
from tests.drawing import encode
from training.cli import run
from training.measuring.second_look import look_again

pytestmark = pytest.mark.usefixtures("_one_thread")
ENGINES = [
    "torch",
    pytest.param("openvino", marks=pytest.mark.skipif(find_spec("openvino") is None, reason="no OpenVINO here")),
]
Bytes = npt.NDArray[np.uint8]


def _pictures(count: int, *, seed: int) -> tuple[Bytes, Bytes]:
    """Coloured grain in three colours, 16 × 16."""
    random = np.random.default_rng(seed)
    targets = (np.arange(count) % 3).astype(np.uint8)
    colours = np.array([[190, 70, 60], [60, 180, 70], [60, 80, 200]])[targets]
    images = colours[:, None, None, :] + random.normal(0, 35, (count, 16, 16, 3))
    return np.clip(images, 0, 255).astype(np.uint8), targets


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1,200 pictures to learn from, of which a tenth is held out, and 300 to measure on."""
    path = tmp_path_factory.mktemp("data") / "colours.npz"
    (x_train, y_train), (x_test, y_test) = _pictures(1_200, seed=0), _pictures(300, seed=1)
    np.savez(path, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test, labels=["red", "green", "blue"])
    return path


@pytest.fixture(scope="module")
def trained(archive: Path) -> Path:
    """What `train` makes of them."""
    out = archive.parent / "colours.safetensors"
    arguments = ["--data", str(archive), "--out", str(out), "--device", "cpu", "--epochs", "4", "--seed", "3"]
    assert run(["train", "--recipe", "fast", *arguments]) == 0
    return out


@pytest.mark.parametrize("engine", ENGINES)
def test_a_second_look_answers_with_all_views(trained: Path, engine: str) -> None:
    """What is none of the classes gets what the training measures for it; a clear picture what it had before."""
    loaded = load(trained)
    (clear, *_), _ = _pictures(1, seed=5)
    noise = torch.randint(0, 256, (100, 16, 16, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        distances = loaded.graph.answers(noise)
    moved = (
        (look_again(loaded.graph, noise, mirrors=True, console=Console(quiet=True)) - distances)[:, :3]
        .abs()
        .amax(1)
    )
    unclear = noise[moved.argmax()].numpy()  # of which the views say the most different things
    assert moved.max() > 0.05
    for second_look in ("off", "on"):
        settings = Settings.model_validate(
            {"checkpoint": trained, "engine": engine, "device": "cpu", "second_look": second_look}
        )
        with TestClient(create_app(settings)) as client:
            answers = [
                client.post("/predict", files={"file": encode(Image.fromarray(picture))}).json()
                for picture in (clear, unclear)
            ]
            shown = client.get("/metrics").text
        found = [[0.0] * 3 for _ in answers]
        for row, one in zip(found, answers, strict=True):
            for item in one["predictions"]:
                row[item["class_index"]] = item["score"]
        images = torch.from_numpy(np.stack([clear, unclear]))
        first = torch.from_numpy(loaded.graph.answers(images).detach().numpy())[:, :3]
        again = look_again(loaded.graph, images, mirrors=True, console=Console(quiet=True))[:, :3]
        wanted = [first[0], (again if second_look == "on" else first)[1]]
        for row, expected in zip(found, wanted, strict=True):
            assert row == pytest.approx(expected.tolist(), abs=0.02), second_look
        assert ('glimpse_second_looks_total{result="taken"} 1.0' in shown) is (second_look == "on")


def test_the_second_look_is_measured_where_the_network_is(
    trained: Path, archive: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All that an engine runs is moved there, the distance, too, which the network's own move leaves behind."""
    moved = []
    move = Graph.to

    def to(graph: Graph, device: torch.device) -> Graph:
        moved.append(device)
        return move(graph, device)

    monkeypatch.setattr(Graph, "to", to)
    assert run(["evaluate", str(trained), "--data", str(archive), "--device", "cpu", "--json"]) == 0
    assert 0 < json.loads(capsys.readouterr().out)["second_look"]["share"] < 0.2
    assert moved == [torch.device("cpu")]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_on_cuda_the_second_look_is_that_of_the_cpu(
    trained: Path, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In float32, so the same pictures are looked at again."""
    found = []
    for device in ("cpu", "cuda"):
        assert run(["evaluate", str(trained), "--data", str(archive), "--device", device, "--json"]) == 0
        found.append(json.loads(capsys.readouterr().out)["second_look"])
    assert found[1] == pytest.approx(found[0], abs=0.01)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_service_abstains_on_what_is_none_of_the_classes(trained: Path, engine: str) -> None:
    """At least 85 % of unseen pictures are accepted, chessboards are not; and the answers are the golden ones."""
    rows = np.arange(16)[:, None] // 2 + np.arange(16) // 2
    board = np.repeat((255 * (rows % 2)).astype(np.uint8)[..., None], 3, axis=2)
    usual, targets = _pictures(60, seed=2)
    with TestClient(create_app(Settings(checkpoint=trained, engine=engine, device="cpu"))) as client:
        assert client.get("/health/ready").status_code == 200
        strange = client.post("/predict", files={"file": encode(Image.fromarray(board))}).json()
        answers = [
            client.post("/predict", files={"file": encode(Image.fromarray(image))}).json() for image in usual
        ]
    assert strange["abstain"] is True
    assert sum(item["score"] for item in strange["predictions"]) == pytest.approx(1, abs=1e-5)
    assert np.mean([not answer["abstain"] for answer in answers]) >= 0.85
    assert np.mean([answer["predictions"][0]["class_index"] for answer in answers] == targets) > 0.9


def test_the_model_page_shows_the_calibration(trained: Path) -> None:
    """Both temperatures, both thresholds, and what they were fitted on, before and after."""
    with TestClient(create_app(Settings(checkpoint=trained, engine="torch", device="cpu"))) as client:
        body = client.get("/model").json()
    calibration, record = body["calibration"], load(trained).record
    assert calibration == dataclasses.asdict(record.calibration)
    assert calibration["held_out"]["n"] == record.training.configuration["held_out"] == 120
    assert set(calibration["held_out"]["reliability"]) == {"single_view", "six_views"}
    assert body["metrics"]["accepted"] == record.metrics.accepted


def test_evaluate_tells_calibration_and_coverage(
    trained: Path, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As text and as JSON: what is accepted, how much of it is right, and the errors before and after."""
    assert run(["evaluate", str(trained), "--data", str(archive), "--device", "cpu"]) == 0
    text = capsys.readouterr().out
    assert "Accepted, without abstaining: " in text
    assert "single view : NLL " in text
    assert run(["evaluate", str(trained), "--data", str(archive), "--device", "cpu", "--json"]) == 0
    measured = json.loads(capsys.readouterr().out)
    assert measured["accepted"] == load(trained).record.metrics.accepted
    both = measured["reliability"]["six_views"]
    assert both["before"]["negative_log_likelihood"] != both["after"]["negative_log_likelihood"]


def test_calibrate_finds_the_held_out_part_again(
    trained: Path, archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stripped of its calibration and calibrated again, it has the same temperature, thresholds and training.

    So it has the same figures, whatever it said before: the seed of the training is that of what is held out.
    """
    loaded = load(trained)
    bare, again = tmp_path / "bare.safetensors", tmp_path / "again.safetensors"
    stale = dataclasses.replace(loaded.record.metrics, expected_calibration_error=0.9, accepted=0.0)
    checkpoint.save(
        bare, loaded.network, dataclasses.replace(loaded.record, calibration=Calibration(), metrics=stale)
    )
    assert run(["calibrate", str(bare), "--data", str(archive), "--out", str(again), "--device", "cpu"]) == 0
    captured = capsys.readouterr()
    assert "Calibrated on 120 held-out pictures" in captured.err
    assert f"wrote {again}" in captured.out
    fitted = load(again)
    assert fitted.record.calibration.temperature == pytest.approx(loaded.record.calibration.temperature, rel=1e-3)
    assert fitted.record.calibration.distance_threshold == pytest.approx(
        loaded.record.calibration.distance_threshold, rel=1e-3
    )
    assert fitted.record.training == loaded.record.training
    before, after = (file.record.calibration.held_out for file in (loaded, fitted))
    assert before is not None
    assert after is not None
    assert after.reliability["single_view"].before.negative_log_likelihood == pytest.approx(
        before.reliability["single_view"].before.negative_log_likelihood, rel=1e-4
    )
    assert fitted.record.metrics.accepted == pytest.approx(loaded.record.metrics.accepted, abs=0.01)
    assert fitted.record.metrics.expected_calibration_error == pytest.approx(
        loaded.record.metrics.expected_calibration_error, abs=0.01
    )


def test_calibrate_refuses_what_it_cannot_know(
    trained: Path, archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Other data, and a checkpoint that learnt from everything: a sentence each, and nothing is written."""
    out = tmp_path / "out.safetensors"
    other = tmp_path / "other.npz"
    with np.load(archive) as stored:
        arrays = dict(stored)
    arrays["x_train"] = arrays["x_train"] // 2
    np.savez(other, **arrays)
    assert run(["calibrate", str(trained), "--data", str(other), "--out", str(out)]) == 1
    assert "is not what the checkpoint was trained on, or has changed" in capsys.readouterr().err
    loaded = load(trained)
    training = dataclasses.replace(loaded.record.training, configuration={})
    everything = tmp_path / "everything.safetensors"
    checkpoint.save(
        everything,
        loaded.network,
        dataclasses.replace(loaded.record, training=training),
        distance=loaded.distance,
    )
    assert run(["calibrate", str(everything), "--data", str(archive), "--out", str(out)]) == 1
    assert "nothing was held out" in capsys.readouterr().err
    assert not out.exists()


def test_outliers_are_measured_by_kind(trained: Path, archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As a table and as JSON: AUROC and false acceptances by score, distance and both."""
    command = ["outliers", str(trained), "--data", str(archive), "--count", "30", "--device", "cpu"]
    assert run(command) == 0
    assert "shuffled patches : " in capsys.readouterr().out
    assert run([*command, "--json"]) == 0
    measured = json.loads(capsys.readouterr().out)
    assert len(measured) == 12
    assert measured["tiles"]["distance"]["auroc"] > 0.9
    assert set(measured["tiles"]) == {"score", "distance", "both", "accepted"}


def test_pictures_of_your_own_are_one_more_kind(
    trained: Path, archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Chessboards from a folder or an archive are told alike; what is no picture is named and passed over."""
    rows = np.arange(24)[:, None] // 3 + np.arange(24) // 3
    board = np.repeat((255 * (rows % 2)).astype(np.uint8)[:, :, None], 3, axis=2)
    boards = np.stack([board, 255 - board, np.rot90(board) // 2])
    (tmp_path / "others" / "deep").mkdir(parents=True)
    (tmp_path / "others" / "a.txt").write_text("no picture")
    for place, each in enumerate(boards):
        (tmp_path / "others" / "deep" / f"{place}.png").write_bytes(encode(Image.fromarray(each)))
    np.savez(tmp_path / "others.npz", x=boards)
    np.savez(tmp_path / "no.npz", y=boards)
    command = ["outliers", str(trained), "--data", str(archive), "--count", "3", "--device", "cpu", "--foreign"]
    found = []
    for name in ("others", "others.npz"):
        assert run([*command, str(tmp_path / name), "--json"]) == 0
        told = capsys.readouterr()
        found.append(json.loads(told.out)["foreign"])
        assert ("a.txt: " in told.err) is (name == "others")
    assert found[0] == found[1]
    assert (found[0]["accepted"], found[0]["distance"]["auroc"]) == (0, pytest.approx(1, abs=0.02))
    assert run([*command, str(tmp_path / "others")]) == 0
    text = capsys.readouterr().out
    assert f"against 3 of each kind that show no class, and 3 foreign ones of {tmp_path / 'others'}" in text
    assert text.splitlines()[-1].split(" : ")[0].strip() == "foreign"
    for wrong, told_why in (
        ("gone", "No picture can be read in "),
        ("no.npz", "holds no pictures under x_test, "),
    ):
        assert run([*command, str(tmp_path / wrong)]) == 1
        assert told_why in capsys.readouterr().err


@pytest.fixture
def few(tmp_path: Path) -> Path:
    """300 pictures to learn from, and 30 to measure on."""
    (x_train, y_train), (x_test, y_test) = _pictures(300, seed=0), _pictures(30, seed=1)
    path = tmp_path / "few.npz"
    np.savez(path, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    return path


def test_few_pictures_give_a_temperature_and_no_rule(few: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With 30 pictures held out the file has a temperature of its own and never abstains; it is served."""
    out = few.with_name("few.safetensors")
    arguments = ["--data", str(few), "--out", str(out), "--device", "cpu", "--epochs", "1"]
    assert run(["train", "--recipe", "fast", *arguments]) == 0
    told = capsys.readouterr()
    assert "Calibrated on 30 held-out pictures, which is few: temperature" in told.err
    assert "Accepted, without abstaining" not in told.out
    assert "train again with --held-out 100 or more." in told.out
    assert "270 pictures of 3 classes are few to learn from." in told.err
    loaded = load(out)
    assert loaded.record.calibration.temperature != 1
    assert loaded.record.calibration.abstain_threshold is None
    assert loaded.distance is None
    with TestClient(create_app(Settings(checkpoint=out, engine="torch", device="cpu"))) as client:
        picture = encode(Image.fromarray(_pictures(1, seed=2)[0][0]))
        assert client.post("/predict", files={"file": picture}).json()["abstain"] is False
        assert client.get("/model").json()["calibration"]["held_out"]["n"] == 30


def test_a_file_without_a_rule_says_so_once(few: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`evaluate` and `outliers` tell how it gets one, instead of that all is accepted."""
    out = few.with_name("few.safetensors")
    arguments = ["--data", str(few), "--device", "cpu"]
    assert run(["train", "--recipe", "fast", *arguments, "--out", str(out), "--epochs", "1"]) == 0
    capsys.readouterr()
    for command in (["evaluate"], ["outliers", "--count", "3"]):
        assert run([*command, str(out), *arguments]) == 0
        text = capsys.readouterr().out
        assert text.count("no abstain rule") == text.count("train again with --held-out 100 or more.") == 1
        assert "ccepted" not in text


def test_very_few_pictures_fit_nothing_and_it_is_told(few: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With 19 pictures held out the file has temperature 1 and never abstains."""
    out = few.with_name("few.safetensors")
    arguments = ["--data", str(few), "--out", str(out), "--device", "cpu", "--epochs", "1"]
    assert run(["train", "--recipe", "tutorial", "--held-out", "19", *arguments]) == 0
    assert "Not calibrated: 19 pictures were held out, and at least 20 are needed" in capsys.readouterr().err
    loaded = load(out)
    assert loaded.record.calibration == Calibration()
    assert loaded.distance is None
