"""The settings that are published beside the recognizer."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from serving.recognizer.settings import FILE, Settings, load_settings

SETTINGS = Settings(80, 120, 4, 48, 64, ["stop"], [0], ["other"])


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(json.dumps(asdict(SETTINGS)))
    assert load_settings(tmp_path) == SETTINGS


@pytest.mark.parametrize("content", [None, "{", "[]", '{"scene_height": 80}'])
def test_missing_or_damaged_settings_name_the_file_and_the_fix(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / FILE).write_text(content)
    with pytest.raises(ValueError, match=rf"{FILE} cannot be read .*signs export recognizer"):
        load_settings(tmp_path)
