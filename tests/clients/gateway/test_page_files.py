"""The files of the page: pictograms that the code draws, and nothing from elsewhere."""

import re
from html.parser import HTMLParser

import pytest

from clients.gateway.pictograms import FOLDER, contents
from traffic_signs.generated_files import outdated

PAGE = FOLDER.parent


class Markup(HTMLParser):
    """Gathers ids, addresses and whatever the Content-Security-Policy forbids."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.forbidden: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.ids += [values["id"] or ""] if "id" in values else []
        self.addresses += [values[name] or "" for name in ("src", "href") if name in values]
        self.forbidden += [f"{tag} {name}" for name in values if name == "style" or name.startswith("on")]
        if tag == "style" or (tag == "script" and "src" not in values):
            self.forbidden.append(tag)


@pytest.fixture(scope="module")
def markup() -> Markup:
    parsed = Markup()
    parsed.feed((PAGE / "index.html").read_text())
    return parsed


def test_the_pictograms_are_what_the_code_draws() -> None:
    assert outdated(FOLDER, contents()) == [], "run python -m clients.gateway.pictograms"
    assert sum(map(len, contents().values())) < 60_000, "a phone loads all of them"


def test_the_page_has_nothing_inline_and_all_its_files(markup: Markup) -> None:
    assert markup.forbidden == []
    assert len(markup.ids) == len(set(markup.ids))
    for address in markup.addresses:
        if address.startswith("static/"):
            assert (PAGE / address.removeprefix("static/")).is_file(), address
        else:
            assert re.fullmatch(r"#\w+|docs", address), f"{address} is elsewhere"


def test_the_scripts_use_what_is_there(markup: Markup) -> None:
    for script in PAGE.glob("*.js"):
        text = script.read_text()
        assert set(re.findall(r'\belement\("([\w-]+)"\)', text)) <= set(markup.ids), script.name
        for imported in re.findall(r'from "(.+?)"', text):
            assert (PAGE / imported).is_file(), f"{script.name} imports {imported}"
        for address in re.findall(r'fetch\("static/(.+?)"', text):
            assert (PAGE / address).is_file(), f"{script.name} fetches {address}"
        assert not re.search(r"https?://\w", text), f"{script.name} names another host"
