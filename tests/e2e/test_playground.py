"""The playground and the model card in a real browser, over a real server."""

import base64
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, FilePayload, Page, Route, expect
from torch import nn

from models import checkpoint
from models.metrics import Coverage, ScoreBin
from models.record import Record
from tests.drawing import encode, gradient, solid
from tests.e2e.conftest import PATIENCE_MS, Server, Window

expect.set_options(timeout=PATIENCE_MS)

Files = dict[str, bytes]

RED, GREEN, BLUE = (encode(solid(colour, 64)) for colour in ("#ff0000", "#00ff00", "#0000ff"))
GREY = encode(solid("#808080", 64))
BROKEN = RED[:60]
PAGES = ["/", "/lab", "/card"]


def transfer(page: Page, files: Files) -> object:
    """What a browser hands to a page with dropped or pasted files."""
    packed = {name: base64.b64encode(data).decode() for name, data in files.items()}
    return page.evaluate_handle(
        """files => {
          const transfer = new DataTransfer();
          for (const [name, data] of Object.entries(files))
            transfer.items.add(new File([Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0))], name));
          return transfer;
        }""",
        packed,
    )


def drop(page: Page, **files: bytes) -> None:
    """Drop files with these names, all .png, onto the page."""
    held = transfer(page, {f"{name}.png": data for name, data in files.items()})
    page.dispatch_event("#drop", "drop", {"dataTransfer": held})


def labels(page: Page) -> list[str]:
    """The labels of all answers, once nothing runs any more."""
    expect(page.locator("#cancel")).to_be_hidden()
    return page.locator(".verdict strong").all_inner_texts()


def overflows(page: Page) -> bool:
    """Whether a page is wider than its screen."""
    too_wide: bool = page.evaluate("document.documentElement.scrollWidth > innerWidth")
    return too_wide


def test_a_dropped_picture_gets_its_label(window: Window) -> None:
    """Label, score, format, size and times stand beside the picture and the 32 × 32 pixels that were seen."""
    page = window.open("/")
    drop(page, apple=encode(solid("#ff0000", 64)))
    assert labels(page) == ["red"]
    expect(page.locator("#status")).to_have_text("apple.png: red, 100.0\u202f%.")
    card = page.locator(".result")
    expect(card.locator("figcaption").first).to_contain_text("PNG, 64 × 64 pixels")
    for stage in ("decode", "queue", "infer"):
        expect(card.locator(".times")).to_contain_text(f"{stage} ")
    assert card.locator(".bars li span:first-child").all_inner_texts()[0] == "red"
    expect(card.locator(".bars li")).to_have_count(3)
    expect(card.locator(".badge")).to_have_count(0)
    pixels = card.get_by_alt_text("as the network sees it")
    expect(pixels).to_have_js_property("naturalWidth", 32)
    expect(pixels).to_have_css("image-rendering", "pixelated")


def test_of_three_pictures_one_is_broken(window: Window) -> None:
    """Two are answered, in the order in which they came, and the third is told what the server says."""
    page = window.open("/", refused=("/predict",))
    drop(page, first=RED, second=BROKEN, third=BLUE)
    assert labels(page) == ["red", "blue"]
    detail = httpx.post(f"{window.url}/predict", files={"file": BROKEN}).json()["detail"]
    expect(page.locator(".result").nth(1).locator(".say p").first).to_have_text(detail)
    expect(page.get_by_role("button", name="Try again")).to_have_count(0)
    expect(page.locator("#status")).to_have_text("3 pictures: 2 answered, 1 not.")


def test_a_drop_without_files_is_told(window: Window) -> None:
    """A picture of another page comes as an address; what to do instead is said."""
    page = window.open("/")
    drop(page)
    expect(page.locator("#status")).to_have_text(
        "That was no file. Save the picture first, or copy the picture itself and paste it."
    )
    expect(page.locator(".result")).to_have_count(0)


def test_a_pasted_picture_gets_its_label(window: Window) -> None:
    """From the clipboard, wherever the focus is."""
    page = window.open("/")
    held = transfer(page, {"clipboard.png": GREEN})
    page.evaluate(
        "held => document.body.dispatchEvent(new ClipboardEvent('paste', {clipboardData: held, bubbles: true}))",
        held,
    )
    assert labels(page) == ["green"]


def test_the_keyboard_is_enough(window: Window) -> None:
    """Skip link, choose a file, reach the answer's button, clear: by Tab, Enter and Space alone."""
    page = window.open("/")
    page.on("filechooser", lambda _chooser: None)  # a browser that nobody told in time opens a dialog of its own
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.locator("#choose")).to_be_focused()
    assert page.evaluate("getComputedStyle(document.querySelector('#choose + label')).outlineStyle") == "solid"
    with page.expect_file_chooser() as chosen:
        page.keyboard.press("Enter")
    chosen.value.set_files(FilePayload(name="sky.png", mimeType="image/png", buffer=BLUE))
    assert labels(page) == ["blue"]
    expect(page.get_by_text("What the network sees", exact=True)).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.locator("#sample")).to_be_focused()
    page.keyboard.press("Space")
    expect(page.locator(".result")).to_have_count(2)
    assert len(labels(page)) == 2
    page.keyboard.press("Tab")
    expect(page.locator("#clear")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Why?").first).to_be_focused()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".result")).to_have_count(0)
    expect(page.locator("#choose")).to_be_focused()


def test_it_says_when_it_is_not_sure(window: Window) -> None:
    """An answer below the threshold of the checkpoint carries a badge, and says why."""
    page = window.open("/")
    drop(page, fog=GREY)
    expect(page.locator(".badge")).to_have_text("not sure")
    expect(page.get_by_text("The score is too low, or the picture unlike everything")).to_be_visible()
    expect(page.locator("#status")).to_contain_text("not sure")


def test_why_lays_heat_over_the_picture(window: Window) -> None:
    """A canvas over the part that was seen, for the best class first and for any other that is asked for.

    Over a picture without any green there is none for green; the button that was pressed keeps the focus.
    """
    page = window.open("/")
    drop(page, wide=encode(solid("#ff00e0", 64).resize((96, 64))))
    assert labels(page) == ["red"]
    page.get_by_role("button", name="Why?").click()
    heat = page.locator("canvas.heat")
    expect(heat).to_have_attribute("aria-label", "Heat map: what the score of red rests on")
    expect(heat).to_have_js_property("width", 32)
    picture, laid = page.locator(".inner").bounding_box(), heat.bounding_box()
    assert picture
    assert laid
    assert laid["width"] == pytest.approx(picture["width"] * 2 / 3, abs=1)
    assert laid["x"] == pytest.approx(picture["x"] + picture["width"] / 6, abs=1)
    expect(page.locator(".legend")).to_be_visible()
    page.locator(".choice").get_by_role("button", name="blue").click()
    expect(heat).to_have_attribute("aria-label", "Heat map: what the score of blue rests on")
    page.locator(".choice").get_by_role("button", name="green").click()
    expect(page.locator(".why")).to_contain_text("Nothing in the picture speaks for “green”.")
    expect(page.locator(".choice").get_by_role("button", name="green")).to_be_focused()
    expect(heat).to_be_hidden()
    expect(page.locator(".legend")).to_have_count(0)
    page.locator(".choice").get_by_role("button", name="red").click()
    expect(heat).to_be_visible()
    page.get_by_role("button", name="Hide why").click()
    expect(heat).to_be_hidden()


def test_why_of_another_model_is_no_answer(window: Window) -> None:
    """A model that was loaded since explains nothing of the older answer; the page asks what it is."""
    page = window.open("/")
    drop(page, apple=RED)
    assert labels(page) == ["red"]

    def answer_as_another(route: Route) -> None:
        route.fulfill(json={"model": {"name": "another", "digest": f"sha256:{'0' * 64}"}})

    page.get_by_role("button", name="Why?").click()
    expect(page.locator("canvas.heat")).to_be_visible()
    page.route("**/explain?*", answer_as_another)
    with page.expect_request("**/model"):
        page.locator(".choice").get_by_role("button", name="blue").click()
    expect(page.locator(".why .say")).to_have_text("The model changed; send the picture again.")
    expect(page.locator(".choice").get_by_role("button", name="blue")).to_be_focused()
    expect(page.locator("canvas.heat")).to_have_count(0)


def test_a_model_that_was_not_told_is_asked_for_again(window: Window) -> None:
    """With the next answer, whose label does not wait for it; then the part that was seen is marked, too."""
    page = window.blank()
    body = json.dumps({"status": 503, "code": "not_ready", "detail": "The service is starting."})
    kind = "application/problem+json"
    page.route("**/model", lambda route: route.fulfill(status=503, content_type=kind, body=body), times=1)
    window.visit(page, "/", refused=("/model",))
    expect(page.locator(".say")).to_contain_text("The service is starting.")
    drop(page, wide=encode(solid("#ff0000", 64).resize((96, 64))))
    assert labels(page) == ["red"]
    expect(page.locator("#labels li")).to_have_count(3)
    expect(page.locator(".inner .window")).to_be_attached()
    expect(page.locator(".say")).to_have_count(0)


def test_labels_do_not_wait_for_the_model(window: Window) -> None:
    """The answer and the pixels are there while GET /model is still on its way."""
    page = window.blank()
    window.hold(page, "**/model")
    window.visit(page, "/")
    drop(page, apple=RED)
    assert labels(page) == ["red"]
    expect(page.locator(".pixels figcaption")).to_contain_text("32 × 32 pixels")


def test_a_second_drop_cancels_the_first(window: Window) -> None:
    """The first upload ends, its card says so and offers another try; the second is answered."""
    page = window.open("/")
    window.hold(page, "**/predict?*", times=1)
    drop(page, slow=RED)
    expect(page.get_by_role("progressbar", name="Upload of slow.png")).to_be_visible()
    with page.expect_event("requestfailed") as failed:
        drop(page, fast=BLUE)
    assert failed.value.failure == "net::ERR_ABORTED"
    assert labels(page) == ["blue"]
    expect(page.locator(".result").nth(1)).to_contain_text("Cancelled.")
    page.get_by_role("button", name="Try again").click()
    assert labels(page) == ["blue", "red"]


def test_escape_cancels(window: Window) -> None:
    """The same without another drop."""
    page = window.open("/")
    window.hold(page, "**/predict?*", times=1)
    drop(page, slow=RED)
    expect(page.locator("#cancel")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#status")).to_have_text("slow.png: cancelled.")


def test_cancel_leaves_the_focus_beside_it(window: Window) -> None:
    """The button goes away, and who pressed it by key is on Clear."""
    page = window.open("/")
    window.hold(page, "**/predict?*", times=1)
    drop(page, slow=RED)
    expect(page.locator("#cancel")).to_be_visible()
    page.locator("#cancel").press("Enter")
    expect(page.locator("#status")).to_have_text("slow.png: cancelled.")
    expect(page.locator("#cancel")).to_be_hidden()
    expect(page.locator("#clear")).to_be_focused()


def test_trying_again_disturbs_nobody(window: Window) -> None:
    """What took too long is asked again on its own card, which keeps the focus; what came after it goes on."""
    page = window.open("/", refused=("/predict",))
    body = json.dumps({"status": 504, "code": "deadline_exceeded", "detail": "It took too long."})
    kind = "application/problem+json"
    page.route("**/predict?*", lambda route: route.fulfill(status=504, content_type=kind, body=body), times=1)
    drop(page, first=RED)
    expect(page.locator("#status")).to_have_text("first.png: It took too long.")
    window.hold(page, "**/predict?*", times=1)
    with page.expect_request("**/predict?*"):
        drop(page, second=BLUE)
    upload = page.get_by_role("progressbar", name="Upload of second.png")
    expect(upload).to_be_visible()
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#status")).to_have_text("first.png: red, 100.0\u202f%.")
    expect(page.locator(".result").nth(1)).to_be_focused()
    expect(page.locator(".result").nth(1).locator(".verdict strong")).to_have_text("red")
    expect(upload).to_be_visible()
    expect(page.locator("#cancel")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#status")).to_have_text("second.png: cancelled.")


def test_a_busy_service_is_asked_once_more(window: Window) -> None:
    """503 with Retry-After is shown with its sentence, and the answer comes after that time, not before."""
    page = window.blank()
    page.clock.install(time=0)
    window.visit(page, "/", refused=("/predict",))
    page.clock.pause_at(3_600)
    sentence = "The queue is full. Come back after Retry-After seconds."

    def refuse(route: Route) -> None:
        body = json.dumps({"status": 503, "code": "overloaded", "detail": sentence})
        route.fulfill(status=503, headers={"Retry-After": "3"}, content_type="application/problem+json", body=body)

    page.route("**/predict?*", refuse, times=1)
    drop(page, patient=GREEN)
    expect(page.locator(".say")).to_contain_text(sentence)
    expect(page.locator(".say")).to_contain_text("Trying once more in 3 seconds.")
    page.clock.run_for(2_999)
    expect(page.locator(".say")).to_contain_text("Trying once more in 3 seconds.")
    page.clock.run_for(1)
    assert labels(page) == ["green"]


@pytest.mark.parametrize("path", PAGES)
def test_a_phone_has_no_sideways_scrolling(window: Window, path: str) -> None:
    """360 pixels are enough, with a long file name too."""
    page = window.open(path, width=360)
    if path == "/":
        drop(page, **{"a_very_long_name_without_any_place_to_break_it_as_cameras_like_to_give_them_" * 2: RED})
        assert labels(page) == ["red"]
    else:
        expect(page.locator("main")).to_contain_text("tiny" if path == "/card" else "Ran in")
    assert not overflows(page)


@pytest.mark.parametrize("path", PAGES)
def test_dark_is_dark(window: Window, path: str) -> None:
    """The page follows the system: light paper or dark, without a script."""
    shades = {}
    for scheme in ("light", "dark"):
        page = window.open(path, scheme=scheme)
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        shades[scheme] = sum(map(int, colour[4:-1].split(",")))
        page.wait_for_load_state("networkidle")
    assert shades["dark"] < 100
    assert shades["light"] > 600


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_axe_finds_nothing_serious(window: Window, path: str, scheme: str) -> None:
    """No serious or critical violation, with answers, refusals and diagrams on the page."""
    page = window.open(path, scheme=scheme, refused=("/predict",) if path == "/" else ())
    if path == "/":
        drop(page, red=RED, broken=BROKEN, fog=GREY)
        assert labels(page) == ["red", "red"]
        expect(page.get_by_alt_text("as the network sees it")).to_have_count(2)
    else:
        expect(page.locator("main")).to_contain_text("tiny" if path == "/card" else "Ran in")
    found = Axe().run(page).response["violations"]
    serious = [
        (fault["id"], [node["html"] for node in fault["nodes"]])
        for fault in found
        if fault["impact"] in {"serious", "critical"}
    ]
    assert serious == []


@pytest.mark.parametrize("path", PAGES)
def test_it_is_painted_after_two_requests(window: Window, path: str) -> None:
    """While every script is still on its way, the page and its style sheet are enough to see it."""
    page = window.blank()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.removeprefix(window.url)))
    window.hold(page, "**/*.js")
    page.goto(window.url + path, wait_until="commit")
    expect(page.locator("h1")).to_be_visible()
    page.evaluate(
        """() => new Promise((resolve) =>
          new PerformanceObserver(() => resolve()).observe({type: 'paint', buffered: true}))"""
    )
    others = [url for url in asked if not url.endswith(".js") and not url.startswith("data:")]
    assert others == [path, "/web/style.css"]


def test_the_model_card_says_what_the_checkpoint_says(window: Window) -> None:
    """Accuracy, classes, confusion, digest as in GET /model; and a sentence for what was not measured."""
    page = window.open("/card")
    model = httpx.get(f"{window.url}/model").json()
    expect(page.locator("h1")).to_have_text("Model card: tiny")
    expect(page.locator(".figures")).to_contain_text("100.00\u202f%")
    assert page.locator(".bars li span:first-child").all_inner_texts() == model["labels"]
    rows = page.locator(".confusion tbody tr").all()
    matrix = [[int(cell) for cell in row.locator("td").all_inner_texts()] for row in rows]
    assert matrix == model["metrics"]["confusion_matrix"]
    expect(page.locator("main")).to_contain_text(model["digest"])
    expect(page.locator("main")).to_contain_text("a best score of 50.0\u202f%")
    expect(page.locator("main")).to_contain_text("measured before the diagram was part of it")
    expect(page.locator("main")).to_contain_text("measured before the curve was part of it")


def test_the_model_card_draws_calibration_and_coverage(
    browser: Browser, start_server: Callable[..., Server], network: nn.Module, record: Record, tmp_path: Path
) -> None:
    """One bar for each bin, a curve through all points, and their numbers in a table."""
    bins = (ScoreBin(0.6, 0.6667, 12, 0.64, 0.5), ScoreBin(0.9333, 1.0, 1888, 0.98, 0.975))
    curve = tuple(Coverage(part / 20, 95 * part, 1 - part / 200, 1 - part / 40) for part in range(1, 21))
    metrics = dataclasses.replace(record.metrics, reliability_bins=bins, coverage=curve, accepted=0.9)
    checkpoint.save(tmp_path / "measured", network, dataclasses.replace(record, metrics=metrics))
    window = Window(browser, start_server("--checkpoint", str(tmp_path / "measured")).url)
    page = window.open("/card")
    expect(page.locator(".block")).to_have_count(2)
    expect(page.locator("polyline")).to_have_count(1)
    assert len((page.locator("polyline").get_attribute("points") or "").split()) == len(curve)
    expect(page.locator(".chart").nth(1)).to_contain_text("answered: 90.0\u202f%")
    page.get_by_text("The numbers", exact=True).first.click()
    expect(page.locator(".plain-table").first).to_contain_text("1,888")
    window.close()
    window.check()


def test_the_pages_weigh_under_100_kilobytes(window: Window) -> None:
    """All that a visitor of the three pages is sent, answers of the API left out."""
    weights: dict[str, int] = {}
    for path in PAGES:
        answer = httpx.get(window.url + path)
        weights[path] = len(answer.content)
        page = window.open(path)
        page.wait_for_load_state("networkidle")
        loaded = page.evaluate("performance.getEntriesByType('resource').map(({ name }) => name)")
        for url in {url for url in loaded if "/web/" in url}:
            weights[url] = len(httpx.get(url).content)
    assert len(weights) > 8
    assert sum(weights.values()) < 100_000


def test_a_large_photograph_is_shown_as_it_is_held(window: Window) -> None:
    """Upright in its frame, with the part that is cut away in the dark."""
    page = window.open("/")
    drop(page, photo=encode(gradient(1600, 900), "JPEG"))
    assert len(labels(page)) == 1
    picture, seen = page.locator(".inner").bounding_box(), page.locator(".inner .window").bounding_box()
    assert picture
    assert seen
    assert picture["width"] / picture["height"] == pytest.approx(16 / 9, abs=0.03)
    assert seen["width"] == pytest.approx(seen["height"], abs=1)
