"""Writes the page's pictograms, or checks that those in the repository are what the code draws.

python -m clients.gateway.pictograms
python -m clients.gateway.pictograms --check
"""

import re
import sys
from pathlib import Path

from serving.recognizer.recognition import UNKNOWN_ID
from traffic_signs.classes import NUM_CLASSES
from traffic_signs.generated_files import write_or_check
from training.data.pictogram_frames import GREY, WHITE, disc, stroke
from training.data.pictograms import document, svg

FOLDER = Path(__file__).parent / "page" / "pictograms"


def contents() -> dict[str, str]:
    """Returns the content of each file by its name, <class id>.svg; that of unknown signs is a question mark."""
    drawings = {class_id: svg(class_id) for class_id in range(NUM_CLASSES)}
    mark = stroke("M35 39A15 15 0 1 1 58 52C52 56 50 59 50 66", 8, GREY) + disc(50, 78, 5, GREY)
    drawings[UNKNOWN_ID] = document(disc(50, 50, 49.6, GREY) + disc(50, 50, 45, WHITE) + mark)
    return {f"{class_id}.svg": _rounded(drawing) + "\n" for class_id, drawing in drawings.items()}


def _rounded(document: str) -> str:
    """Rounds all numbers to a hundredth of a unit: a sign is 100 units, and nobody draws it 10,000 pixels wide."""
    return re.sub(r"-?\d+\.\d{3,}", lambda number: f"{round(float(number[0]), 2):g}", document)


if __name__ == "__main__":
    sys.exit(write_or_check(FOLDER, contents(), "clients.gateway.pictograms", sys.argv[1:]))
