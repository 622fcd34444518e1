"""The lab's page in a real browser: experiments are chosen, changed and run on the server."""

import json

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

from tests.e2e.conftest import PATIENCE_MS, Window

expect.set_options(timeout=PATIENCE_MS)


def wait_for_run(page: Page) -> None:
    """Until the steps of the last run are there."""
    expect(page.locator("#status")).to_contain_text("Ran in")


def test_all_experiments_are_listed(window: Window) -> None:
    """In the order of GET /tensors, and the first one runs at once."""
    page = window.open("/lab")
    wait_for_run(page)
    lab = httpx.get(f"{window.url}/tensors").json()
    assert page.locator("#demos a").all_inner_texts() == [demo["title"] for demo in lab["demos"]]
    expect(page.locator("#title")).to_have_text(lab["demos"][0]["title"])
    expect(page.locator("#demos a[aria-current]")).to_have_text(lab["demos"][0]["title"])


def test_the_numpy_bridge_is_changed_and_run_again(window: Window) -> None:
    """Three rows instead of five: output, values and address follow; one letter and colour marks both sides."""
    page = window.open("/lab#numpy-bridge")
    wait_for_run(page)
    expect(page.locator(".step pre.output").first).to_contain_text("[1., 1., 1., 1., 1.]")
    page.get_by_label("rows").fill("3")
    page.get_by_role("button", name="Run").click()
    expect(page.locator(".step pre.output").first).not_to_contain_text("1., 1., 1., 1.")
    wait_for_run(page)
    assert "rows=3" in page.evaluate("location.hash")
    sharing = page.locator(".step").nth(1).locator(".tensor[data-memory=A]")
    expect(sharing).to_have_count(2)
    expect(sharing.first).to_contain_text("memory A, shared with")
    expect(sharing.first.locator(".grid td")).to_have_count(3)
    colours = sharing.evaluate_all("all => all.map((one) => getComputedStyle(one).borderTopColor)")
    assert len(set(colours)) == 1
    expect(page.locator(".tensor:not([data-memory])").first).to_be_visible()
    others = page.locator(".tensor:not([data-memory])").evaluate_all(
        "all => all.map((one) => getComputedStyle(one).borderTopColor)"
    )
    assert colours[0] not in others


def test_enter_runs_and_a_link_keeps_the_parameters(window: Window) -> None:
    """The address after a run opens the same run in another window."""
    page = window.open("/lab#numpy-bridge?rows=4")
    wait_for_run(page)
    expect(page.get_by_label("rows")).to_have_value("4")
    expect(page.locator(".tensor .grid").first.locator("td")).to_have_count(4)
    page.get_by_label("rows").fill("2")
    page.get_by_label("rows").press("Enter")
    expect(page.locator(".tensor .grid").first.locator("td")).to_have_count(2)
    link = page.evaluate("location.pathname + location.hash")
    other = window.open(link)
    wait_for_run(other)
    expect(other.get_by_label("rows")).to_have_value("2")
    expect(other.locator(".tensor .grid").first.locator("td")).to_have_count(2)


def test_a_parameter_out_of_bounds_is_told_in_the_server_s_words(window: Window) -> None:
    """422, its sentence, and no old steps that could be taken for the answer; the next run is fine again."""
    page = window.open("/lab#numpy-bridge", refused=("/tensors/numpy-bridge",))
    wait_for_run(page)
    page.get_by_label("rows").fill("1000")
    page.get_by_role("button", name="Run").click()
    refused = httpx.get(f"{window.url}/tensors/numpy-bridge", params={"rows": 1000})
    assert refused.status_code == 422
    expect(page.get_by_role("alert")).to_have_text(refused.json()["detail"])
    expect(page.locator(".step")).to_have_count(0)
    page.get_by_label("rows").fill("1")
    page.get_by_role("button", name="Run").click()
    wait_for_run(page)
    expect(page.get_by_role("alert")).to_be_empty()


def test_a_link_with_a_choice_that_is_not_there_is_told_in_the_server_s_words(window: Window) -> None:
    """Never another value in its place; the form holds what is usual, and runs."""
    page = window.open("/lab#numpy-bridge?dtype=float8&rows=4", refused=("/tensors/numpy-bridge",))
    refused = httpx.get(f"{window.url}/tensors/numpy-bridge", params={"dtype": "float8"})
    assert refused.status_code == 422
    expect(page.get_by_role("alert")).to_have_text(refused.json()["detail"])
    expect(page.locator(".step")).to_have_count(0)
    page.get_by_role("button", name="Run").click()
    wait_for_run(page)
    lab = httpx.get(f"{window.url}/tensors").json()
    parameters = next(demo["parameters"] for demo in lab["demos"] if demo["name"] == "numpy-bridge")
    usual = {parameter["name"]: parameter["default"] for parameter in parameters}
    expect(page.get_by_label("dtype")).to_have_value(usual["dtype"])
    expect(page.get_by_label("rows")).to_have_value("4")


def test_the_skip_link_leaves_the_experiment_alone(window: Window) -> None:
    """It leads to the content, which is no experiment; neither is it after the page was loaded again."""
    page = window.open("/lab")
    wait_for_run(page)
    title = page.locator("#title").inner_text()
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    expect(page.locator("#title")).to_have_text(title)
    expect(page.locator(".step")).not_to_have_count(0)
    expect(page.get_by_role("alert")).to_be_empty()
    page.reload()
    wait_for_run(page)
    expect(page.locator("#title")).to_have_text(title)
    expect(page.get_by_role("alert")).to_be_empty()
    page.locator("#demos a").nth(1).click()
    expect(page.locator("#title")).not_to_have_text(title)
    wait_for_run(page)


def test_old_steps_do_not_stand_under_a_new_title(window: Window) -> None:
    """While another experiment is on its way there is nothing that could be taken for it."""
    page = window.open("/lab#numpy-bridge")
    wait_for_run(page)
    window.hold(page, "**/tensors/reshaping*")
    link = page.locator("#demos a[href='#reshaping']")
    link.click()
    expect(page.locator("#title")).to_have_text(link.inner_text())
    expect(page.locator("#status")).to_have_text("Running…")
    expect(page.locator(".step")).to_have_count(0)
    expect(page.locator("#script")).to_be_empty()


def test_a_busy_lab_is_asked_once_more(window: Window) -> None:
    """503 with Retry-After is shown with its sentence, and the steps come after that time."""
    page = window.blank()
    page.clock.install(time=0)
    sentence = "The tensor lab runs one demo at a time."

    def refuse(route: Route) -> None:
        body = json.dumps({"status": 503, "code": "overloaded", "detail": sentence})
        headers = {"Retry-After": "600"}
        route.fulfill(status=503, headers=headers, content_type="application/problem+json", body=body)

    page.route("**/tensors/numpy-bridge*", refuse, times=1)
    window.visit(page, "/lab#numpy-bridge", refused=("/tensors/numpy-bridge",))
    expect(page.get_by_role("alert")).to_contain_text(sentence)
    expect(page.get_by_role("alert")).to_contain_text("Trying once more in 600 seconds.")
    expect(page.locator(".step")).to_have_count(0)
    page.clock.run_for(600_000)
    wait_for_run(page)
    expect(page.get_by_role("alert")).to_be_empty()


def test_an_unknown_experiment_is_a_sentence(window: Window) -> None:
    """A link with a mistake leads to the list."""
    page = window.open("/lab#quantum")
    expect(page.get_by_role("alert")).to_contain_text("There is no experiment “quantum”")
    page.locator("#demos a").nth(1).click()
    wait_for_run(page)


@pytest.mark.parametrize(
    "name", ["creation", "arithmetic", "reshaping", "numpy-bridge", "dynamic-graph", "devices", "anatomy"]
)
def test_every_experiment_is_shown_whole_on_a_phone(window: Window, name: str) -> None:
    """Each step has its title and code, nothing is undefined, and nothing is wider than 360 pixels."""
    page = window.open(f"/lab#{name}", width=360)
    wait_for_run(page)
    run = httpx.get(f"{window.url}/tensors/{name}").json()
    assert page.locator(".step h3").all_inner_texts() == [step["title"] for step in run["steps"]]
    for shown, step in zip(page.locator(".step").all(), run["steps"], strict=True):
        expect(shown.locator("pre[aria-label=Code]")).to_contain_text(step["code"].splitlines()[-1].strip())
        expect(shown.locator(".tensor")).to_have_count(len(step["tensors"]))
        expect(shown.locator(".node")).to_have_count(len((step["graph"] or {"nodes": []})["nodes"]))
    text = page.locator("main").inner_text()
    assert not [word for word in ("undefined", "NaN px", "[object", "null,") if word in text]
    assert not page.evaluate("document.documentElement.scrollWidth > innerWidth")


def test_the_dynamic_graph_is_drawn(window: Window) -> None:
    """Nodes with their names, edges between them, and the same in words."""
    page = window.open("/lab#dynamic-graph")
    wait_for_run(page)
    graph = page.locator(".graph").first
    expect(graph.locator(".node.leaf").first).to_be_attached()
    expect(graph.locator("svg")).to_contain_text("Backward0")
    graph.get_by_text("The graph in words").click()
    edges = graph.locator(".edge").count()
    expect(graph.locator("li")).to_have_count(edges)
