"""Where a setting comes from, and what is said about a wrong one."""

import re
from pathlib import Path
from typing import get_args

import pytest
from pydantic.fields import FieldInfo

from app.errors import SettingsError
from app.settings import Settings, read_settings, to_environment

KEY = "a key that is long enough"
DIGEST = f"sha256:{'0123456789abcdef' * 4}"


def test_every_setting_has_a_default_that_works() -> None:
    """Nothing needs to be set."""
    settings = read_settings([])
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.checkpoint.name == "cifar10.safetensors"


def test_an_option_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Command line, then GLIMPSE_*, then default."""
    monkeypatch.setenv("GLIMPSE_PORT", "9000")
    monkeypatch.setenv("GLIMPSE_MAX_PIXELS", "1000")
    settings = read_settings(["--port", "9100"])
    assert (settings.port, settings.max_pixels, settings.host) == (9100, 1000, "127.0.0.1")


@pytest.mark.parametrize("name", list(Settings.model_fields))
def test_every_setting_is_an_option(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A value that is not the default arrives; --help names the option."""
    option = f"--{name.replace('_', '-')}"
    given = {"admin_key": KEY, "checkpoint_digest": DIGEST, "cors_origins": "https://app.example"}
    value = given.get(name) or _another(Settings.model_fields[name])
    read = getattr(read_settings([option, str(value)]), name)
    assert (read.get_secret_value() if name == "admin_key" else read) == value
    with pytest.raises(SystemExit):
        read_settings(["--help"])
    assert f"{option} " in capsys.readouterr().out


def _another(field: FieldInfo) -> object:
    """A value that a setting may have, and not its default."""
    assert field.description
    for choice in get_args(field.annotation):
        if choice != field.default:
            return choice
    return field.default + 1 if isinstance(field.default, int | float) else type(field.default)("other")


@pytest.mark.parametrize(
    ("variable", "hint"),
    [
        ("GLIMPSE_CHEKPOINT", "did you mean GLIMPSE_CHECKPOINT?"),
        ("GLIMPSE_CORS_ORIGIN", "did you mean GLIMPSE_CORS_ORIGINS?"),
        ("GLIMPSE_MAXPIXELS", "did you mean GLIMPSE_MAX_PIXELS?"),
        ("glimpse_prot", "did you mean GLIMPSE_PORT?"),
        ("GLIMPSE_ZZZZZZ", "known are GLIMPSE_HOST, GLIMPSE_PORT"),
    ],
)
def test_a_mistyped_variable_is_refused(monkeypatch: pytest.MonkeyPatch, variable: str, hint: str) -> None:
    """It is named, with the setting that was probably meant."""
    monkeypatch.setenv(variable, "1")
    with pytest.raises(SettingsError) as caught:
        read_settings([])
    assert variable in str(caught.value)
    assert hint in str(caught.value)


def test_other_variables_are_none_of_our_business(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only GLIMPSE_* is looked at."""
    for name in ("GLIMPS", "MY_GLIMPSE_PORT"):
        monkeypatch.setenv(name, "x")
    assert read_settings([]) == Settings()


def test_a_wrong_value_names_where_it_came_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """An option is called by its option, a variable by its variable; each fault has a line."""
    monkeypatch.setenv("GLIMPSE_MAX_PIXELS", "0")
    with pytest.raises(SettingsError) as caught:
        read_settings(["--port", "http"])
    lines = sorted(str(caught.value).splitlines())
    assert lines[0].startswith("--port is 'http': give a whole number")
    assert lines[1].startswith("GLIMPSE_MAX_PIXELS is '0': give a whole number")


@pytest.mark.parametrize(
    ("option", "value", "allowed"),
    [
        ("--port", "abc", "a whole number from 0 to 65535, or leave it out, which is 8000"),
        ("--port", "", "a whole number from 0 to 65535, or leave it out, which is 8000"),
        ("--port", "80.5", "a whole number from 0 to 65535, or leave it out, which is 8000"),
        ("--workers", "65", "a whole number from 0 to 64, or leave it out, which is 0"),
        ("--deadline-ms", "-1", "a whole number from 1 upwards, or leave it out, which is 10000"),
        ("--golden-interval-s", "soon", "a number from 0.1 to 86400, or leave it out, which is 30"),
        ("--second-look", "maybe", "off or on, or leave it out, which is off"),
        ("--device", "gpu", "auto, cpu or cuda, or leave it out, which is auto"),
    ],
)
def test_a_wrong_value_is_told_with_what_is_allowed(option: str, value: str, allowed: str) -> None:
    """What came in, what may come, and what nothing at all would mean."""
    with pytest.raises(SettingsError) as caught:
        read_settings([option, value])
    assert str(caught.value) == f"{option} is '{value}': give {allowed}."


@pytest.mark.parametrize("name", sorted(set(Settings.model_fields) - {"checkpoint", "host"}))
def test_every_setting_that_is_refused_is_told_in_our_words(name: str) -> None:
    """None in pydantic's, which knows neither defaults nor operators; a long value is cut off."""
    option, value = f"--{name.replace('_', '-')}", "ü" * 5_000
    with pytest.raises(SettingsError) as caught:
        read_settings([option, value])
    assert str(caught.value).startswith((f"{option} is 'ü", f"{option} is a secret: "))
    assert not re.search("Input|should|valid", str(caught.value))
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("word", ["--help=foo", "-hx"])
def test_an_option_that_takes_no_value_says_so(word: str) -> None:
    """The opposite of one that has none."""
    with pytest.raises(
        SettingsError, match=r"^-h/--help takes no value \(.*\)\. Give it none, or leave it out\.$"
    ):
        read_settings([word])


@pytest.mark.parametrize("words", [["--port"], ["--port", "--workers", "1"]])
def test_an_option_without_a_value_is_told_in_a_sentence(words: list[str]) -> None:
    """And not by a list of all options."""
    with pytest.raises(SettingsError, match=r"^--port has no value\. Give it one, or leave it out\.$"):
        read_settings(words)


@pytest.mark.parametrize("variable", ["GLIMPSE_HOST", "GLIMPSE_CHECKPOINT"])
def test_an_empty_variable_is_refused(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """An empty host would be every address, an empty path the working folder."""
    monkeypatch.setenv(variable, "")
    with pytest.raises(SettingsError, match=f"^{variable} is '': "):
        read_settings([])


def test_a_digest_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """In words, and not only when the checkpoint is read; sha256sum's own way of writing it is understood."""
    monkeypatch.setenv("GLIMPSE_CHECKPOINT_DIGEST", DIGEST.removeprefix("sha256:").upper())
    assert read_settings([]).checkpoint_digest == DIGEST
    for wrong in ("", "latest", DIGEST[:-1]):
        monkeypatch.setenv("GLIMPSE_CHECKPOINT_DIGEST", wrong)
        with pytest.raises(SettingsError, match=f"^GLIMPSE_CHECKPOINT_DIGEST is '{wrong}': give sha256: and 64"):
            read_settings([])


def test_an_origin_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """In words: no page would ever come from it, and its developer would wonder why."""
    assert read_settings([]).cors_origins is None
    monkeypatch.setenv("GLIMPSE_CORS_ORIGINS", "HTTPS://app.example:443,http://localhost:3000")
    assert read_settings([]).cors_origins == "https://app.example, http://localhost:3000"
    monkeypatch.setenv("GLIMPSE_CORS_ORIGINS", "https://app.example/")
    with pytest.raises(
        SettingsError, match=r"^GLIMPSE_CORS_ORIGINS is '.*/': leave the slash .* https://app\.example\.$"
    ):
        read_settings([])
    with pytest.raises(SettingsError, match=r"^--cors-origins is '': name an origin, .*, or leave it out\.$"):
        read_settings(["--cors-origins", ""])


@pytest.mark.parametrize(
    "option", ["--drain-delay-s", "--upload-timeout-s", "--golden-interval-s", "--keep-alive-s"]
)
@pytest.mark.parametrize("seconds", ["inf", "nan", "1e9", "-1"])
def test_a_time_without_an_end_is_refused(option: str, seconds: str) -> None:
    """Nothing that is waited for, or done again, takes longer than a day."""
    with pytest.raises(SettingsError, match=f"^{option} is '{seconds}': give a (whole )?number from"):
        read_settings([option, seconds])


@pytest.mark.parametrize("option", ["--upload-timeout-s", "--golden-interval-s"])
def test_a_time_that_is_over_at_once_is_refused(option: str) -> None:
    """No request arrives in a nanosecond, and golden pictures without a pause leave no time for others."""
    with pytest.raises(SettingsError, match=f"^{option} is '1e-9': give a number from 0.1 to"):
        read_settings([option, "1e-9"])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--por", "1"], "--por is not an option; did you mean --port?"),
        (["--max-pixel=5"], "--max-pixel=5 is not an option; did you mean --max-pixels?"),
        (["tensor"], "tensor is not an option; --help lists all; `python -m app tensors` is the lab."),
    ],
)
def test_an_unknown_option_is_told_with_what_was_meant(arguments: list[str], sentence: str) -> None:
    """As an unknown variable is; abbreviations are not guessed."""
    with pytest.raises(SettingsError) as caught:
        read_settings(arguments)
    assert str(caught.value) == sentence


def test_the_default_checkpoint_lies_beside_the_models() -> None:
    """It is found from any working folder."""
    assert read_settings([]).checkpoint.parent == Path(__file__).parents[3] / "models" / "checkpoints"


def test_kubernetes_service_links_are_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Service named glimpse puts variables of ours into every pod; the sentence says how to stop it."""
    monkeypatch.setenv("GLIMPSE_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("GLIMPSE_PORT", "tcp://10.0.0.1:80")
    with pytest.raises(SettingsError, match="enableServiceLinks: false"):
        read_settings([])


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (
            ["--deadline-ms", "5000", "--max-deadline-ms", "4000"],
            r"--deadline-ms is 5000, over --max-deadline-ms, 4000: lower the first, or raise the second\.",
        ),
        (
            ["--workers", "2", "--admin-key", KEY],
            "a reload reaches one process: leave out --admin-key, or set --workers to 1.",
        ),
        (["--max-batch-files", "20", "--max-queue", "10"], "--max-batch-files is 20, over --max-queue, 10"),
        (["--max-batch-files", "2000"], "--max-batch-files is 2000, over GLIMPSE_MAX_QUEUE, 1024"),
        (
            ["--max-body-bytes", "50", "--max-batch-bytes", "101", "--max-bodies-bytes", "100"],
            "--max-batch-bytes is 101, over --max-bodies-bytes, 100",
        ),
        (
            ["--max-body-bytes", "101", "--max-batch-bytes", "50", "--max-bodies-bytes", "100"],
            "--max-body-bytes is 101, over --max-bodies-bytes, 100",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused(arguments: list[str], reason: str) -> None:
    """Each is fine alone; the sentence names both, and no secret."""
    with pytest.raises(SettingsError, match=rf"^The settings do not agree: {reason}") as caught:
        read_settings(arguments)
    assert KEY not in str(caught.value)


def test_settings_of_the_environment_are_called_by_their_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever set them there would look for another name in vain."""
    monkeypatch.setenv("GLIMPSE_WORKERS", "2")
    monkeypatch.setenv("GLIMPSE_ADMIN_KEY", KEY)
    with pytest.raises(SettingsError, match="leave out GLIMPSE_ADMIN_KEY, or set GLIMPSE_WORKERS to 1"):
        read_settings([])


@pytest.mark.parametrize(
    ("name", "value", "limit"),
    [
        ("deadline_ms", 5_000, "max_deadline_ms"),
        ("max_batch_files", 20, "max_queue"),
        ("max_batch_bytes", 20_000_000, "max_bodies_bytes"),
    ],
)
def test_a_setting_may_be_as_large_as_its_limit(name: str, value: int, limit: str) -> None:
    """One batch may fill the queue, and one body the memory of all."""
    options = [f"--{option.replace('_', '-')}={value}" for option in (name, limit)]
    read = read_settings(options)
    assert getattr(read, name) == getattr(read, limit) == value


def test_a_deadline_of_no_time_is_refused() -> None:
    """Nothing could be answered within it."""
    with pytest.raises(SettingsError, match=r"^--deadline-ms is '0': give a whole number from 1 upwards"):
        read_settings(["--deadline-ms", "0"])
    assert read_settings(["--deadline-ms", "1"]).deadline_ms == 1


def test_a_key_of_16_characters_is_long_enough() -> None:
    """The sentence that refuses a shorter one says so."""
    key = read_settings(["--admin-key", "x" * 16]).admin_key
    assert key is not None
    assert key.get_secret_value() == "x" * 16


@pytest.mark.parametrize("key", ["schlüssel-der-wache", "a key of the watch\n", " a key of the watch"])
def test_a_key_that_no_header_carries_is_refused(key: str) -> None:
    """Clients encode other characters each in their own way, and strip spaces around it: it would never match."""
    with pytest.raises(SettingsError, match="is a secret: use letters, digits and signs of ASCII"):
        read_settings(["--admin-key", key])


@pytest.mark.parametrize("key", ["", "x" * 15])
def test_a_short_key_is_refused(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    """An empty one, too: a variable that was meant to hold a key must not leave the route out without a word."""
    with pytest.raises(SettingsError, match=f"is a secret: it has {len(key)} characters, and needs 16 or more"):
        read_settings(["--admin-key", key])
    monkeypatch.setenv("GLIMPSE_ADMIN_KEY", key)
    with pytest.raises(SettingsError, match="GLIMPSE_ADMIN_KEY is a secret"):
        read_settings([])


@pytest.mark.parametrize("source", ["option", "variable"])
def test_a_secret_is_never_shown(monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    """Not when it is refused, nor when the settings are printed."""
    if source == "variable":
        monkeypatch.setenv("GLIMPSE_ADMIN_KEY", "tooshort")
    with pytest.raises(SettingsError, match="is a secret: it has 8 characters, and needs 16 or more") as caught:
        read_settings(["--admin-key", "tooshort"] if source == "option" else [])
    assert "tooshort" not in str(caught.value)
    assert KEY not in repr(read_settings(["--admin-key", KEY]))


def test_a_worker_reads_what_its_parent_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings travel through the environment unchanged."""
    given = {"--workers": "3", "--engine": "torch", "--golden-interval-s": "0.5", "--host": "::1"}
    given["--cors-origins"] = "https://app.example, HTTP://localhost:80"
    settings = read_settings([word for option in given.items() for word in option])
    for name, value in to_environment(settings).items():
        monkeypatch.setenv(name, value)
    assert read_settings([]) == settings
