"""Somebody's own classes all the way: trained, exported, served, on the page, corrected, learned from, watched.

The detector is that of red cells, which needs no training; what is in a cell, a trained classifier says.
"""

import io
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from clients.command.main import main
from monitoring.drift.limits import DriftLimits
from monitoring.drift.prometheus import Prometheus
from monitoring.drift.watch import Watch
from serving.server import RunningServer
from tests.end_to_end.chromium import PATIENCE_MS, choose, give, opened, running_chromium
from tests.end_to_end.street import HEIGHT, WIDTH, connect, encode, scrape
from tests.fixture_types import Serve
from tests.red_detector import CATEGORY, CELL, publish_red_detector
from tests.running_gateway import RunningGateway, form, running_gateway
from tests.running_prometheus import ask, running_prometheus, wait_until
from traffic_sign_client import SignClass

# The first test waits for a training, a Triton, a gateway and a browser.
pytestmark = [pytest.mark.end_to_end, pytest.mark.long, pytest.mark.timeout(900)]

# Names as people have them: umlauts, spaces, a colon, quotes; "stop" is a German sign, too, with another id.
CLASSES = {
    "Große Eule": ("Tier", (120, 200, 250)),
    "Fuchs: rot": ("Tier", (250, 160, 60)),
    "stop": ("Tafel", (255, 255, 255)),
    'Weg "A 7"': ("Tafel", (90, 110, 255)),
    "grüner Pfeil": ("Pfeil", (60, 220, 90)),
}
NAMES = list(CLASSES)
CATEGORIES = [category for category, _ in CLASSES.values()]
RUN = ("--batch-size", "10", "--device", "cpu", "--precision", "fp32", "--workers", "0", "--seed", "1")
TRAIN, TEST = 60, 10  # scenes
Signed = tuple[int, int, int]  # column, row, class id


def photograph(signs: Sequence[Signed], seed: int) -> bytes:
    """Returns a grey street with red cells of the detector, each with something of its class's colour inside."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(60, 100, (HEIGHT, WIDTH, 1), dtype=np.uint8).repeat(3, axis=2)
    for column, row, class_id in signs:
        cell = pixels[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL]
        cell[:] = (230, 20, 25)
        # No two are alike: repeats of a test sign are not learned from.
        light = rng.uniform(0.4, 1, (4, 4, 1)).repeat(6, axis=0).repeat(6, axis=1)
        cell[8:32, 8:32] = (light * np.array(CLASSES[NAMES[class_id]][1])).astype(np.uint8)
    return encode(Image.fromarray(pixels), "JPEG", quality=95, subsampling=0)


def scene(number: int) -> list[Signed]:
    """Returns the signs of a numbered scene: three, dealt from all classes."""
    columns = np.random.default_rng(number).permutation(WIDTH // CELL)[:3].tolist()
    return [(column, (3 * number + place) % 10, (number + place) % len(NAMES)) for place, column in enumerate(columns)]


def write_coco(folder: Path) -> Path:
    """Writes the scenes and their labels in COCO's format."""
    categories = [
        {"id": number, "name": name, "supercategory": category}
        for number, (name, (category, _)) in enumerate(CLASSES.items(), start=1)
    ]
    for split, numbers in (("train", range(TRAIN)), ("test", range(TRAIN, TRAIN + TEST))):
        (folder / split).mkdir(parents=True)
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for number in numbers:
            images.append({"id": number, "file_name": f"{number}.jpg", "width": WIDTH, "height": HEIGHT})
            (folder / split / f"{number}.jpg").write_bytes(photograph(scene(number), number))
            for column, row, class_id in scene(number):
                box = [column * CELL, row * CELL, CELL, CELL]
                entry = {"id": len(annotations), "image_id": number, "category_id": class_id + 1, "bbox": box}
                annotations.append(entry)
        content = {"images": images, "annotations": annotations, "categories": categories}
        (folder / split / "_annotations.coco.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


@dataclass(frozen=True)
class Own:
    """What a person has after training: data, runs, models."""

    data: str
    runs: Path
    models: Path


def signs(*arguments: object) -> str:
    """Runs `signs ARGUMENTS`; returns what it prints."""
    out, error = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(error):
        patch.setattr(sys, "argv", ["signs", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
    assert not ended.value.code, error.getvalue()
    return out.getvalue()


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Own:
    folder = tmp_path_factory.mktemp("own")
    made = Own(f"coco={write_coco(folder / 'mine')}", folder / "runs", folder / "models")
    train = ("train", "classifier", "--data", made.data, "--name", "mine", "--runs", made.runs)
    signs(*train, "--epochs", "6", *RUN)
    export = ("export", "onnx", made.runs / "mine" / "checkpoint", "--data", made.data)
    signs(*export, "--repository", made.models)
    assert list(dict.fromkeys(CATEGORIES))[CATEGORY] == "Pfeil"
    publish_red_detector(made.models, data={"categories": "\n".join(CATEGORIES)})
    signs("export", "recognizer", "--repository", made.models, "--reference", made.data, "--split", "train")
    return made


@pytest.fixture(scope="module")
def server(serve: Serve, own: Own) -> RunningServer:
    return serve(own.models)


@pytest.fixture(scope="module")
def feedback(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("feedback")


@pytest.fixture(scope="module")
def gateway(server: RunningServer, feedback: Path) -> Iterator[RunningGateway]:
    options = ("--feedback", str(feedback), "--feedback-reserve", "0", "--timeout", "90")
    with running_gateway(server.grpc_url, *options) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE_MS)
    with running_chromium() as running:
        yield running
    expect.set_options(timeout=5_000)


@pytest.fixture
def page(browser: Browser, gateway: RunningGateway) -> Iterator[Page]:
    with opened(browser, gateway.url) as page:
        yield page


def test_client_and_gateway_list_the_classes_that_are_served(server: RunningServer, gateway: RunningGateway) -> None:
    with connect(server) as client:
        assert client.classes() == [SignClass(*each) for each in zip(range(5), NAMES, CATEGORIES, strict=True)]
    listed = gateway.ask("/v1/classes").json
    assert [(each["name"], each["category"]) for each in listed] == list(zip(NAMES, CATEGORIES, strict=True))
    drawings = [each["drawing"] for each in listed]
    assert [bool(each) for each in drawings] == [name == "stop" for name in NAMES]
    assert b"<svg" in gateway.ask(f"/{drawings[2]}").body
    crop = encode(Image.new("RGB", (60, 50), (60, 220, 90)))
    answer = gateway.ask("/v1/classify?k=1000", crop, {"Content-Type": "image/png"}).json
    assert sorted(each["name"] for each in answer["classes"]) == sorted(NAMES)


def test_a_correction_on_the_page_is_learned_from(page: Page, own: Own, feedback: Path, tmp_path: Path) -> None:
    choose(page, photograph([(2, 2, 0), (9, 5, 4)], 1000), "wald.jpg", "image/jpeg")
    answered = json.loads(page.locator("#json").text_content() or "")["signs"]
    assert len(answered) == 2
    rows = page.locator("#signs > li")
    for number, sign in enumerate(answered):
        expect(rows.nth(number).locator("strong")).to_have_text(sign["name"])
        expect(rows.nth(number).locator("img")).to_have_count(int(sign["name"] == "stop"))

    page.get_by_role("button", name="Change sign 1").click()
    expect(page.locator("#picker [role=option]")).to_have_count(5)
    page.get_by_role("combobox").fill("GRU\u0308NER")  # as macOS writes an ü in the names of files
    expect(page.locator("#picker [role=option]:visible")).to_have_text("grüner PfeilPfeil")
    page.get_by_role("combobox").press("Enter")
    expect(rows.nth(0).locator("strong")).to_have_text("grüner Pfeil")
    page.get_by_role("button", name="Send the correction").click()
    expect(page.locator("#changes")).to_contain_text("Stored as")

    (entry,) = feedback.iterdir()
    stored = json.loads((entry / "feedback.json").read_text(encoding="utf-8"))
    assert [(each["class_id"], each["name"]) for each in stored["signs"]] == [
        (4, "grüner Pfeil"),
        (answered[1]["class_id"], answered[1]["name"]),
    ]
    data = ("--data", own.data, "--data", f"feedback={feedback}")
    report = json.loads(signs("data", "check", own.data, f"feedback={feedback}", "--output", tmp_path, "--json"))
    assert [each["train"] for each in report["data_sets"][1]["classes"] if each["name"] == "grüner Pfeil"] >= [1]
    signs("train", "classifier", *data, "--name", "again", "--runs", own.runs, "--epochs", "1", *RUN)
    info = json.loads((own.runs / "again" / "checkpoint" / "model.json").read_text(encoding="utf-8"))
    assert info["class_names"] == NAMES
    assert info["data"]["name"] == f"coco=mine, feedback={feedback.name}"


def test_a_picture_that_one_sign_fills_is_named_and_corrected(
    page: Page, feedback: Path, gateway: RunningGateway
) -> None:
    before = set(feedback.iterdir())
    page.get_by_label("One sign, close up").check()
    choose(page, encode(Image.new("RGB", (90, 70), (60, 220, 90))), "pfeil.png")
    row = page.locator("#signs > li")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("70 pixels")
    expect(row).to_contain_text("else ")
    page.get_by_role("button", name="All is right: send").click()
    expect(page.locator("#changes")).to_contain_text("Stored as")
    (entry,) = set(feedback.iterdir()) - before
    stored = json.loads((entry / "feedback.json").read_text(encoding="utf-8"))
    assert [each["box"] for each in stored["signs"]] == [[0, 0, 90, 70]]


def test_with_a_classifier_alone_the_picture_is_taken_as_one_sign(browser: Browser, server: RunningServer) -> None:
    options = ("--recognizer", "no_recognizer", "--need", "sign_classifier", "--timeout", "90")
    with (
        running_gateway(server.grpc_url, *options) as gateway,
        opened(browser, gateway.url) as page,
    ):
        assert gateway.ask("/readyz").json["models"] == {"sign_classifier": True}
        expect(page.get_by_label("One sign, close up")).to_be_checked()
        choose(page, encode(Image.new("RGB", (90, 70), (60, 220, 90))), "pfeil.png")
        expect(page.locator("#signs > li")).to_have_count(1)
        expect(page.locator("#status")).to_contain_text("counts as one sign")
        expect(page.locator("#models")).to_contain_text("sign_classifier 1")


def test_what_is_no_class_of_the_served_models_is_refused(gateway: RunningGateway) -> None:
    picture = encode(Image.new("RGB", (60, 50)))
    for sign, words in (
        ({"class_id": 5}, "the classes 0 to 4"),
        ({"class_id": 2, "name": "give way"}, "class 2 is 'stop' and not 'give way'"),
    ):
        text = json.dumps({"signs": [{"box": [0, 0, 10, 10], **sign}]}).encode()
        answer = gateway.ask("/v1/feedback", *form(("image", "a.png", picture), ("feedback", None, text)))
        assert answer.status == 422 and words in answer.json["detail"], answer.body


def test_without_a_server_the_page_says_so_and_comes_back(browser: Browser) -> None:
    with (
        running_gateway("127.0.0.1:9", "--retries", "0") as gateway,
        opened(browser, gateway.url, provoked=True) as page,
    ):
        expect(page.locator("#problem-detail")).to_contain_text("the model server does not answer")
        expect(page.locator("#retry")).to_be_visible()
        give(page, photograph([(2, 2, 0)], 1), "wald.jpg", "image/jpeg")
        expect(page.locator("#problem-detail")).to_contain_text("the model server does not answer")


def test_a_change_of_the_classes_is_drift(own: Own, server: RunningServer, tmp_path: Path) -> None:
    target = server.metrics_url.removeprefix("http://").removesuffix("/metrics")
    total = "sign_recognizer_scenes_total"
    with running_prometheus(tmp_path, target) as prometheus, connect(server) as client:
        wait_until(lambda: ask(prometheus, total) is not None, "the first scrape")
        for seed in range(2000, 2060):
            client.recognize(photograph([(column, row, 4) for column, row, _ in scene(seed)], seed))
        wanted = scrape(server)[f'{total}{{version="1"}}']
        wait_until(lambda: ask(prometheus, total) == wanted, "a scrape of what was sent")
        (finding,) = Watch(Prometheus(prometheus, "5m"), own.models, DriftLimits()).look()
    assert finding.verdict == "drift"
    (classes,) = (score for score in finding.scores if score.feature == "sign_class")
    assert classes.is_firing and classes.note.startswith("grüner Pfeil: "), classes


def test_a_trained_class_is_recognized(server: RunningServer) -> None:
    """Learned well enough that all of it is about the right names: colours are easy."""
    right = 0
    with connect(server) as client:
        for seed in range(3000, 3010):
            signs = scene(seed)
            names = {(column * CELL, row * CELL): NAMES[class_id] for column, row, class_id in signs}
            found = client.recognize(photograph(signs, seed))
            right += sum(names.get((int(sign.box[0]), int(sign.box[1]))) == sign.name for sign in found)
    assert right >= 25  # of 30
