"""A real headless Chromium, and a page in it of which everything that goes wrong is noted."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
PATIENCE_MS = 90_000  # of a test on a busy machine
ELSEWHERE = "signs.example"  # resolves to this machine, but to a browser it is another
WIDE = {"width": 1280, "height": 900}

# What takes the keyboard must have a name; so must what a screen reader stops at.
NAMED_ROLES = {
    "button", "link", "textbox", "checkbox", "combobox", "listbox", "option", "img", "image", "dialog", "application",
    "table", "columnheader", "rowheader", "heading",
}  # fmt: skip

# Text of the page whose contrast with what lies behind it is below what WCAG 2.2 AA asks for (1.4.3).
PALE_TEXT = """() => {
  const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b]
      .map((value) => value / 255)
      .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const [r, g, b, a = 1] = channels(getComputedStyle(at).backgroundColor);
      if (a > 0.9) return [r, g, b];
    }
    return [255, 255, 255];
  };
  const pale = [];
  for (const node of document.body.querySelectorAll("*")) {
    const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
    if (!own || !node.checkVisibility() || node.matches(":disabled")) continue;
    const style = getComputedStyle(node);
    const [one, other] = [light(channels(style.color)), light(behind(node))].sort((a, b) => b - a);
    const ratio = (one + 0.05) / (other + 0.05);
    if (ratio < 4.5) pale.push(`${node.tagName} ${node.textContent.trim().slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return pale;
}"""


def find_chromium() -> str:
    """Returns the path of a Chromium; skips where there is none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("no Chromium: apt-get install chromium fonts-dejavu-core")
    return found


@contextlib.contextmanager
def running_chromium() -> Iterator[Browser]:
    """Runs a Chromium with a camera that is drawn."""
    options = [
        "--use-fake-device-for-media-stream",
        f"--host-resolver-rules=MAP {ELSEWHERE} 127.0.0.1",
        "--disable-dev-shm-usage",
    ]
    if os.geteuid() == 0:
        options.append("--no-sandbox")  # which root cannot have
    path = find_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=options, timeout=PATIENCE_MS)
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def opened(browser: Browser, url: str, provoked: bool = False, **options: Any) -> Iterator[Page]:
    """Opens the page and, at the end, asserts that the browser had nothing to complain about.

    Args:
        browser: that shows it.
        url: of the gateway.
        provoked: the test itself provokes errors of /v1, which a browser complains about.
        options: of the browser's context.
    """
    complaints: list[str] = []

    def note(message: ConsoleMessage) -> None:
        # Such is each answer of 4xx and 5xx, and each that never came.
        answer = "/v1/" in message.location["url"] and "Failed to load resource" in message.text
        if message.type in ("error", "warning") and not (provoked and answer):
            complaints.append(f"{message.type}: {message.text} ({message.location['url']})")

    context = browser.new_context(**{"viewport": WIDE, **options})
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.on("console", note)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    try:
        page.goto(url)
        yield page
        assert not complaints, "\n".join(complaints)
    finally:
        context.close()


def choose(page: Page, data: bytes, name: str = "street.png", kind: str = "image/png") -> None:
    """Chooses a photo, and waits until its signs are listed."""
    give(page, data, name, kind)
    page.locator("#result:not(.unanswered) #signs").wait_for(state="attached")
    page.locator("body:not(.busy)").wait_for()


def give(page: Page, data: bytes, name: str = "street.png", kind: str = "image/png") -> None:
    """Chooses a photo."""
    page.set_input_files("#file", {"name": name, "mimeType": kind, "buffer": data})


def boxes_shown(page: Page, width: int) -> list[list[float]]:
    """Returns where boxes are drawn, in pixels of a photo of a width: [left, top, right, bottom] each."""
    found: list[list[float]] = page.evaluate(
        """(width) => {
          const stage = document.getElementById("stage").getBoundingClientRect();
          return [...document.querySelectorAll("#overlay .box")].map((box) => {
            const { left, top, right, bottom } = box.getBoundingClientRect();
            return [left - stage.left, top - stage.top, right - stage.left, bottom - stage.top]
              .map((value) => (value * width) / stage.width);
          });
        }""",
        width,
    )
    return found


def tab_to(page: Page, target: Locator, most: int = 80) -> None:
    """Presses Tab until something has the keyboard."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if target.evaluate("node => node === document.activeElement"):
            return
    raise AssertionError(f"{target} is not reached by Tab")


def nameless(page: Page) -> list[str]:
    """Returns what a screen reader meets without a name, by the browser's own accessibility tree."""
    session = page.context.new_cdp_session(page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    session.detach()
    found = []
    for node in nodes:
        focusable = any(each["name"] == "focusable" and each["value"]["value"] for each in node.get("properties", []))
        role = node.get("role", {}).get("value", "")
        named = role in NAMED_ROLES or (focusable and role != "RootWebArea")
        if not node["ignored"] and named and not node.get("name", {}).get("value", "").strip():
            found.append(f"{role} {node.get('backendDOMNodeId')}")
    assert len(nodes) > 50, "there was no tree to look at"
    return found
