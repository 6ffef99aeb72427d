"""The page in a real Chromium, before a real gateway and a real tritonserver."""

import base64
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from PIL import Image
from playwright.sync_api import Browser, FilePayload, Page, Route, expect

from clients.gateway.auth import line_of, new_key
from serving.server import RunningServer
from tests.end_to_end.chromium import (
    ELSEWHERE,
    PALE_TEXT,
    PATIENCE_MS,
    boxes_shown,
    choose,
    give,
    nameless,
    opened,
    running_chromium,
    tab_to,
)
from tests.end_to_end.street import boxes_of, encode, street
from tests.running_gateway import RunningGateway, running_gateway
from traffic_signs.classes import CLASS_NAMES

# The first test waits for a Triton, a gateway and a browser.
pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(900)]

CELLS = [(2, 2), (9, 5), (14, 8)]
FACTOR = 2  # the photo is twice as large as what the detector takes
WIDTH, HEIGHT = 680 * FACTOR, 400 * FACTOR
STREET = encode(street(CELLS, FACTOR))
RED = (230, 20, 25)
NARROW = {"width": 320, "height": 640}  # WCAG 2.2, 1.4.10


@pytest.fixture(scope="module", autouse=True)
def _patience() -> Iterator[None]:
    expect.set_options(timeout=PATIENCE_MS)
    yield
    expect.set_options(timeout=5_000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_chromium() as running:
        yield running


@pytest.fixture(scope="module")
def feedback(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("feedback")


@pytest.fixture(scope="module")
def gateway(browser: Browser, recognizer_server: RunningServer, feedback: Path) -> Iterator[RunningGateway]:
    options = ("--feedback", str(feedback), "--feedback-reserve", "0", "--timeout", "90")
    with running_gateway(recognizer_server.grpc_url, *options) as running:
        yield running


@pytest.fixture
def page(browser: Browser, gateway: RunningGateway) -> Iterator[Page]:
    with opened(browser, gateway.url) as page:
        yield page


@pytest.fixture
def stored(feedback: Path) -> Callable[[], tuple[dict[str, Any], bytes]]:
    """Returns what the test's feedback left in the folder: its JSON and its picture."""
    before = set(feedback.iterdir())

    def read() -> tuple[dict[str, Any], bytes]:
        (entry,) = set(feedback.iterdir()) - before
        (image,) = entry.glob("image.*")
        return json.loads((entry / "feedback.json").read_text()), image.read_bytes()

    return read


def colour_within(page: Page, row: int) -> tuple[int, ...]:
    """Returns the colour in a sign's cut-out near the lower right of its box, where `street` paints plain red."""
    found = (
        page.locator("#signs canvas")
        .nth(row)
        .evaluate(
            "canvas => [...canvas.getContext('2d').getImageData(canvas.width * 0.76, canvas.height * 0.76, 1, 1).data]"
        )
    )
    return tuple(found[:3])


def test_boxes_names_and_times_are_those_of_the_answer(page: Page, gateway: RunningGateway) -> None:
    """What the policy forbids would be among the browser's complaints, of which there must be none."""
    assert "default-src 'self';" in gateway.ask("/").headers["Content-Security-Policy"]
    choose(page, STREET)
    answer = gateway.ask("/v1/recognize", STREET, {"Content-Type": "image/png"}).json
    assert {tuple(sign["box"]) for sign in answer["signs"]} == boxes_of(CELLS, FACTOR)

    for found, sign in zip(boxes_shown(page, WIDTH), answer["signs"], strict=True):
        assert found == pytest.approx(sign["box"], abs=1)
    rows = page.locator("#signs > li")
    for number, sign in enumerate(answer["signs"]):
        row = rows.nth(number)
        expect(row.locator("strong")).to_have_text(sign["name"])
        expect(row).to_contain_text(f"found with {'100' if sign['score'] >= 1 else ''}")
        assert str(row.locator("img").get_attribute("src")).endswith(f"pictograms/{sign['class_id']}.svg")
        assert colour_within(page, number) == pytest.approx(RED, abs=12)
    labels = page.locator("#overlay .label .name").all_text_contents()
    assert labels == [sign["name"] for sign in answer["signs"]]
    stages = page.locator("#timings tr").all_text_contents()
    assert len(stages) == 1 + len(answer["timings"]) and all(" ms" in stage for stage in stages)
    expect(page.locator("#status")).to_contain_text("3 signs found")
    expect(page.locator("#models")).to_contain_text("sign_recognizer 1")
    assert json.loads(page.locator("#json").text_content() or "")["signs"] == answer["signs"]


def test_a_photo_on_its_side_is_shown_upright_with_its_boxes(page: Page) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    lying = street(CELLS, FACTOR).transpose(Image.Transpose.ROTATE_90)
    choose(page, encode(lying, "JPEG", quality=95, exif=exif), "lying.jpg", "image/jpeg")
    assert page.locator("#photo").evaluate("photo => [photo.naturalWidth, photo.naturalHeight]") == [WIDTH, HEIGHT]
    found = {tuple(round(side / 10) * 10 for side in box) for box in boxes_shown(page, WIDTH)}
    assert found == boxes_of(CELLS, FACTOR)
    for row in range(len(CELLS)):
        assert colour_within(page, row) == pytest.approx(RED, abs=12)


def test_a_picture_that_the_browser_cannot_show_has_its_signs_listed(page: Page) -> None:
    choose(page, encode(street(CELLS, FACTOR), "PPM"), "street.ppm", "")
    expect(page.locator("#caption")).to_contain_text("cannot show this image format")
    expect(page.locator("#photo")).to_be_hidden()
    expect(page.locator("#signs > li")).to_have_count(3)
    found = {tuple(round(side / 10) * 10 for side in box) for box in boxes_shown(page, WIDTH)}
    assert found == boxes_of(CELLS, FACTOR)


def test_a_correction_is_stored(page: Page, stored: Callable[[], tuple[dict[str, Any], bytes]]) -> None:
    choose(page, STREET)
    answer = json.loads(page.locator("#json").text_content() or "")
    page.get_by_role("button", name="Change sign 1").click()
    page.get_by_role("combobox").fill("limit 80 end")
    page.get_by_role("option", name="end of speed limit 80").click()
    page.get_by_role("button", name="Remove sign 2").click()
    page.get_by_role("button", name="Remove sign 3").click()
    page.get_by_role("button", name="Put sign 3").click()
    page.get_by_role("button", name="Draw a missing sign").click()
    stage = page.locator("#stage").bounding_box()
    assert stage is not None
    scale = stage["width"] / WIDTH
    page.mouse.move(stage["x"] + 700 * scale, stage["y"] + 100 * scale)
    page.mouse.down()
    page.mouse.move(stage["x"] + 760 * scale, stage["y"] + 150 * scale, steps=4)
    page.mouse.up()
    page.get_by_role("combobox").fill("round")
    page.keyboard.press("Enter")
    expect(page.locator("#changes")).to_contain_text("1 sign renamed, 1 box removed, 1 sign added")
    expect(page.locator("#signs > li").nth(3)).to_contain_text("drawn by you")
    page.get_by_label("Comment").fill("by the test")
    page.get_by_role("button", name="Send the correction").click()
    expect(page.locator("#status")).to_have_text("Thank you: it is stored.")
    expect(page.locator("#send")).to_be_disabled()

    entry, image = stored()
    assert image == STREET
    first, third, drawn = entry["signs"]
    name = "end of speed limit 80"
    assert first == {"box": answer["signs"][0]["box"], "class_id": CLASS_NAMES.index(name), "name": name}
    assert third == {key: answer["signs"][2][key] for key in ("box", "class_id", "name")}
    assert drawn["class_id"] == CLASS_NAMES.index("roundabout")
    assert drawn["box"] == pytest.approx([700, 100, 760, 150], abs=3)
    assert (entry["answered"], entry["request_id"]) == (answer["signs"], answer["request_id"])
    assert (entry["models"], entry["comment"]) == (answer["models"], "by the test")


def test_that_all_is_right_is_stored_too(page: Page, stored: Callable[[], tuple[dict[str, Any], bytes]]) -> None:
    choose(page, STREET)
    page.get_by_role("button", name="All is right: send").click()
    expect(page.locator("#changes")).to_contain_text("Stored as")
    entry, _ = stored()
    assert entry["signs"] == [{key: sign[key] for key in ("box", "class_id", "name")} for sign in entry["answered"]]


def test_an_unknown_sign_is_named_or_removed_before_anything_is_sent(
    page: Page, stored: Callable[[], tuple[dict[str, Any], bytes]]
) -> None:
    """The real answer, in which the page is shown its first sign as unknown: the fixture's server names every sign."""

    def forget_first(route: Route) -> None:
        response = route.fetch()
        answer = response.json()
        answer["signs"][0] |= {"class_id": -1, "name": "unknown"}
        route.fulfill(response=response, json=answer)

    page.route("**/v1/recognize*", forget_first)
    choose(page, STREET)
    expect(page.locator("#signs > li").first).to_contain_text("unknown")
    page.get_by_role("button", name="All is right: send").click()
    expect(page.locator("#status")).to_contain_text("still unknown")
    page.get_by_role("button", name="Change sign 1, unknown").click()
    page.get_by_role("combobox").fill("round")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Send the correction").click()
    expect(page.locator("#status")).to_have_text("Thank you: it is stored.")

    entry, _ = stored()
    assert entry["signs"][0]["class_id"] == CLASS_NAMES.index("roundabout")
    assert entry["answered"][0]["class_id"] == -1


def test_the_keyboard_alone_is_enough(page: Page, stored: Callable[[], tuple[dict[str, Any], bytes]]) -> None:
    empty: FilePayload = {"name": "street.png", "mimeType": "image/png", "buffer": encode(street([], FACTOR))}
    # Before the keyboard is used: an expectation around the key press may come too late on a busy machine.
    page.on("filechooser", lambda chooser: chooser.set_files(empty))
    tab_to(page, page.locator("#file"))
    page.keyboard.press("Enter")
    expect(page.locator("#no-signs")).to_be_visible()

    tab_to(page, page.locator("#draw"))
    page.keyboard.press("Enter")
    expect(page.locator("#draft")).to_be_focused()
    before = boxes_of_draft(page)
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("-")
    after = boxes_of_draft(page)
    assert after[0] != before[0] and after[3] - after[1] != after[2] - after[0]
    expect(page.locator("#status")).to_contain_text("wide")
    page.keyboard.press("Enter")
    expect(page.get_by_role("combobox")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#draft")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.type("snow")
    page.keyboard.press("Enter")
    expect(page.locator("#draw")).to_be_focused()

    tab_to(page, page.get_by_role("button", name="Change sign 1"))
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("#signs strong")).to_have_text("wild animals")
    expect(page.get_by_role("button", name="Change sign 1")).to_be_focused()
    tab_to(page, page.locator("#send"))
    page.keyboard.press("Enter")
    expect(page.locator("#status")).to_have_text("Thank you: it is stored.")
    entry, _ = stored()
    assert [sign["class_id"] for sign in entry["signs"]] == [CLASS_NAMES.index("wild animals")]
    assert entry["signs"][0]["box"] == pytest.approx(after, abs=1)


def test_the_next_choice_may_be_opened_before_the_last_one_is_known_to_be_closed(page: Page) -> None:
    choose(page, STREET)
    page.get_by_role("button", name="Change sign 1").evaluate(
        """change => {
          const dialog = document.getElementById("picker");
          const known = new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
          change.click();
          dialog.close();
          change.click();
          return known.then(() => undefined);
        }"""
    )
    page.get_by_role("combobox").fill("round")
    page.keyboard.press("Enter")
    expect(page.locator("#signs strong").first).to_have_text("roundabout")


def boxes_of_draft(page: Page) -> list[float]:
    """Returns the box that is being drawn, in pixels of the photo."""
    sides: list[float] = page.locator("#draft").evaluate(
        "({ style }) => [style.left, style.top, style.width, style.height].map(parseFloat)"
    )
    left, top, across, down = (share / 100 * size for share, size in zip(sides, (WIDTH, HEIGHT) * 2, strict=True))
    return [left, top, left + across, top + down]


def test_photos_are_dropped_and_pasted(page: Page) -> None:
    for event, field, count in (("drop", "dataTransfer", 2), ("paste", "clipboardData", 1)):
        page.evaluate(
            """([event, field, count, encoded]) => {
              const bytes = Uint8Array.from(atob(encoded), (character) => character.charCodeAt(0));
              const data = new DataTransfer();
              for (let number = 0; number < count; number++) {
                data.items.add(new File([bytes], `${event}.png`, { type: "image/png" }));
              }
              const type = event === "drop" ? DragEvent : ClipboardEvent;
              document.body.dispatchEvent(new type(event, { [field]: data, bubbles: true, cancelable: true }));
            }""",
            [event, field, count, base64.b64encode(encode(street(CELLS))).decode()],
        )
        expect(page.locator("#caption")).to_contain_text(f"{event}.png · 680")
        expect(page.locator("#signs > li")).to_have_count(3)
        expect(page.locator("#status")).to_contain_text("1 more" if count == 2 else "3 signs found")


def test_the_camera_takes_a_picture(browser: Browser, gateway: RunningGateway) -> None:
    with opened(browser, gateway.url, permissions=["camera"]) as page:
        page.get_by_role("button", name="Use the camera").click()
        page.get_by_role("button", name="Take a picture").click()
        expect(page.locator("#caption")).to_contain_text("camera.jpg ·")
        expect(page.locator("#no-signs")).to_be_visible()  # the drawn camera shows no red
        assert page.locator("#video").evaluate("video => video.srcObject") is None, "the camera is still on"


def test_where_the_camera_is_not_allowed_the_page_says_why(browser: Browser, gateway: RunningGateway) -> None:
    with opened(browser, gateway.url) as page:
        page.get_by_role("button", name="Use the camera").click()
        expect(page.locator("#camera-message")).to_contain_text("not allowed to use the camera")
        expect(page.locator("#shoot")).to_be_disabled()
    with opened(browser, f"http://{ELSEWHERE}:{urlsplit(gateway.url).port}") as page:
        page.get_by_role("button", name="Use the camera").click()
        expect(page.locator("#camera-message")).to_contain_text("only over https://")
        page.keyboard.press("Escape")
        choose(page, STREET)
        expect(page.locator("#signs > li")).to_have_count(3)


def test_what_is_no_image_is_explained(browser: Browser, gateway: RunningGateway) -> None:
    with opened(browser, gateway.url, provoked=True) as page:
        give(page, b"no image, only text", "letter.png")
        alert = page.get_by_role("alert")
        expect(alert).to_contain_text("The request cannot be read")
        expect(alert).to_contain_text("not an image")
        expect(alert).to_contain_text("status 400")
        expect(page.locator("#result")).to_be_hidden()
        assert nameless(page) == []
        page.get_by_role("button", name="Close").click()
        expect(alert).to_be_hidden()
        choose(page, STREET)
        expect(page.locator("#signs > li")).to_have_count(3)


def test_keys_overload_and_a_server_that_is_gone(
    browser: Browser, recognizer_server: RunningServer, tmp_path: Path
) -> None:
    key, keys = new_key(), tmp_path / "keys.txt"
    keys.write_text(line_of("tests", key) + "\n")
    options = ("--keys", str(keys), "--concurrency", "1", "--queue", "0", "--timeout", "90", "--upload-timeout", "90")
    with (
        running_gateway(recognizer_server.grpc_url, *options) as gateway,
        opened(browser, gateway.url, provoked=True) as page,
    ):
        alert = page.get_by_role("alert")
        expect(alert).to_contain_text("An API key is needed")
        expect(page.get_by_label("Key, if")).to_be_focused()
        page.keyboard.type(key)
        page.keyboard.press("Enter")
        expect(alert).to_be_hidden()
        choose(page, STREET)
        assert page.evaluate("[sessionStorage.length, localStorage.length, document.cookie]") == [1, 0, ""]

        address = urlsplit(gateway.url)
        with socket.create_connection((str(address.hostname), address.port or 0)) as other:
            # Somebody else's upload that never ends takes the only place.
            head = "POST /v1/recognize HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 1000\r\n"
            other.sendall(f"{head}Authorization: Bearer {key}\r\n\r\nx".encode())
            give(page, STREET)
            expect(alert).to_contain_text("Too many requests at once")
            expect(alert).to_contain_text("status 429")
            expect(alert.get_by_role("button", name="Try again", exact=True)).to_be_enabled()
        page.locator("#problem-facts").wait_for()
        while alert.is_visible():  # until the gateway has noticed that the other one is gone
            alert.get_by_role("button", name="Try again", exact=True).click()
            page.locator("body:not(.busy)").wait_for()
        expect(page.locator("#signs > li")).to_have_count(3)

        gateway.process.kill()
        gateway.process.wait()
        page.get_by_role("button", name="All is right: send").click()
        expect(alert).to_contain_text("The service cannot be reached")
        expect(page.locator("#signs > li")).to_have_count(3)
        give(page, STREET)
        expect(alert).to_contain_text("The service cannot be reached")
        expect(alert.get_by_role("button", name="Try again", exact=True)).to_be_enabled()


def walk(page: Page) -> Iterator[str]:
    """Brings the page into its states and yields the name of each."""
    yield "empty"
    choose(page, STREET)
    page.locator("#signs > li").first.hover()
    yield "answered"
    page.get_by_role("button", name="Change sign 1").click()
    yield "choosing"
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Remove sign 2").click()
    page.get_by_role("button", name="Draw a missing sign").click()
    yield "drawing"
    page.keyboard.press("Escape")
    page.get_by_text("API key").click()
    page.get_by_text("The answer as JSON").first.click()
    yield "opened"
    page.get_by_role("button", name="Use this key").click()
    give(page, b"no image", "a name that is very long and has no place to break_" + "x" * 60)
    page.get_by_role("alert").wait_for()
    yield "problem"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_state_is_accessible_and_fits_a_narrow_screen(
    browser: Browser, gateway: RunningGateway, scheme: str
) -> None:
    options = {"viewport": NARROW, "color_scheme": scheme, "reduced_motion": "reduce", "has_touch": True}
    with opened(browser, gateway.url, provoked=True, **options) as page:
        for state in walk(page):
            assert nameless(page) == [], state
            assert page.evaluate(PALE_TEXT) == [], state
            width = page.evaluate("document.documentElement.scrollWidth")
            assert width <= NARROW["width"], f"{state} is {width} pixels wide"


def test_the_page_has_landmarks_headings_and_live_regions(page: Page) -> None:
    choose(page, STREET)
    for landmark in (page.get_by_role("banner"), page.get_by_role("main"), page.get_by_role("contentinfo")):
        expect(landmark).to_have_count(1)
    expect(page.get_by_role("heading", level=1)).to_have_count(1)
    assert page.locator("html").get_attribute("lang") == "en"
    expect(page.locator("#status")).to_have_attribute("aria-live", "polite")
    # A box is also in the list: for a screen reader the picture has no second copy.
    expect(page.locator("#overlay")).to_have_attribute("aria-hidden", "true")
    names = (
        page.get_by_role("list", name="Signs")
        .get_by_role("button")
        .evaluate_all("buttons => buttons.map((button) => button.ariaLabel)")
    )
    assert len(names) == len(set(names)) == 9
