"""The precisions of exported networks, and the tolerance of each."""

from dataclasses import dataclass
from typing import Final

FP32: Final = "fp32"
FP16: Final = "fp16"
INT8: Final = "int8"
AUTO: Final = "auto"  # the fastest of them on this machine


@dataclass(frozen=True)
class Tolerance:
    """How far an exported network may differ from the trained one."""

    difference: float  # of a probability or a score
    # Share of the real images that may change their class, or of the signs that only one network may find.
    changed: float
    pixels: float  # of an edge of a box
    # Lowest score that is compared. Ranking below a score of 0.05 is noise: it decides which of the faintest peaks are
    # among a detector's 100. In int8 that holds up to about 0.3, the score that counts.
    floor: float
    # Whether random and extreme images count, too; not in int8, whose ranges come from real images.
    invented: bool = True


# fp32: two correct orders of summation differ by less. The others: several times what was measured on networks that
# had learned. In fp16 probabilities differed by up to 0.004, and 0.1% of the signs of scenes were found by one network
# only; in int8 probabilities by up to 0.34 and boxes by 3.7 pixels, 0.4% of the classes changed and no sign was lost.
TOLERANCES = {
    FP32: Tolerance(difference=1e-4, changed=0.0, pixels=0.05, floor=0.05),
    FP16: Tolerance(difference=0.02, changed=0.005, pixels=2.0, floor=0.05),
    INT8: Tolerance(difference=0.5, changed=0.02, pixels=8.0, floor=0.3, invented=False),
}
# One file on a server and in this process, both on the same CPU. In int8 1,500 crops and 12 scenes were bit-identical
# in ONNX Runtime 1.27 and 1.32; a value that another release rounds the other way changes less than fp16 does.
SAME_FILE = TOLERANCES | {INT8: TOLERANCES[FP16]}
