"""Take the pictures of the pages that the README shows: `make screenshots`.

Starts the service with the shipped checkpoint, drives the Chromium that is installed, and writes
docs/screenshots/PAGE-SCHEME-DEVICE.png. The pictures that the playground is given are its own drawings.
"""

import io
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.e2e.conftest import CHROMIUMS, PATIENCE_MS, Server

FOLDER = Path(__file__).parent / "screenshots"
DEVICES = {"desktop": (1200, 1180, 1.0), "phone": (390, 844, 2.0)}
"""Width and height in pixels of CSS, and how many pixels of the picture one of them has."""
MOST_BYTES = 150_000


def playground(page: Page) -> None:
    """The answer for a drawing, and why."""
    for count in range(1, 4):
        page.get_by_role("button", name="Try a drawing").click()
        expect(page.locator(".result .pixels img")).to_have_count(count)
        expect(page.locator("#cancel")).to_be_hidden()
    page.get_by_role("button", name="Why?").first.click()
    expect(page.locator(".legend")).to_be_visible()
    if page.evaluate("innerWidth") < 600:
        page.evaluate("scrollTo(0, document.querySelector('#known').offsetTop - 16)")


def lab(page: Page) -> None:
    """The bridge: two names, one memory."""
    expect(page.locator(".step")).not_to_have_count(0)
    first = ".step:nth-child(2)" if page.evaluate("innerWidth") < 600 else ".lab"
    page.evaluate("first => scrollTo(0, document.querySelector(first).offsetTop - 16)", first)


def card(page: Page) -> None:
    """The figures, and what is taken for what."""
    expect(page.locator(".figures")).to_be_visible()


SCENES: dict[str, tuple[str, Callable[[Page], None]]] = {
    "playground": ("/", playground),
    "lab": ("/lab#numpy-bridge?rows=6", lab),
    "card": ("/card", card),
}


def take(browser: Browser, url: str, name: str, *, scheme: str, device: str) -> bytes:
    """Open a page, bring it into the state to be shown, and return its picture as a small PNG."""
    width, height, scale = DEVICES[device]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        device_scale_factor=scale,
        color_scheme="dark" if scheme == "dark" else "light",
        reduced_motion="reduce",
    )
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    path, prepare = SCENES[name]
    page.goto(url + path)
    prepare(page)
    page.evaluate("document.activeElement.blur()")
    taken = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    context.close()
    few = taken.quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=2)  # keeps the rare colours of the heat
    packed = io.BytesIO()
    few.save(packed, "PNG", optimize=True)
    return packed.getvalue()


def main() -> int:
    """Take all of them; 1 where there is no Chromium, or a picture came out too heavy."""
    found = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if found is None:
        print("No Chromium is installed: apt-get install chromium", file=sys.stderr)  # noqa: T201 - a script
        return 1
    expect.set_options(timeout=PATIENCE_MS)
    FOLDER.mkdir(exist_ok=True)
    heavy = 0
    server = Server("--device", "cpu", "--drain-delay-s", "0")
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
            for name in SCENES:
                for scheme in ("light", "dark"):
                    for device in DEVICES:
                        picture = take(browser, server.url, name, scheme=scheme, device=device)
                        path = FOLDER / f"{name}-{scheme}-{device}.png"
                        path.write_bytes(picture)
                        print(f"{path.name:30} {len(picture):>8,} bytes")  # noqa: T201 - a script
                        heavy += len(picture) > MOST_BYTES
            browser.close()
    finally:
        server.stop(signal.SIGTERM)
    return 1 if heavy else 0


if __name__ == "__main__":
    sys.exit(main())
