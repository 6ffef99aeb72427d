"""Tests of augmentation."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest

from training.classifier.augmentation import GROUP, Augmentation


def _asymmetric(size: int = 48) -> npt.NDArray[np.uint8]:
    """Returns a picture that no mirror and no turn maps to itself: four quarters of different brightness."""
    image = np.full((size, size, 3), 30, dtype=np.uint8)
    middle = size // 2
    image[:middle, :middle], image[middle:, :middle], image[:middle, middle:] = 230, 150, 90
    return image


def _augmentation(seed: int) -> Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.uint8]]:
    """Returns a function that alters one crop."""
    augmentation = Augmentation()
    augmentation.seed(seed)
    return lambda image: augmentation(image[None])[0]


def _correlation(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> float:
    return float(np.corrcoef(a.ravel().astype(np.float64), b.ravel().astype(np.float64))[0, 1])


def test_same_seed_repeats_the_whole_sequence() -> None:
    first, second = _augmentation(3), _augmentation(3)

    for _ in range(20):
        assert np.array_equal(first(_asymmetric()), second(_asymmetric()))


def test_other_seed_gives_another_sequence() -> None:
    first, second = _augmentation(3), _augmentation(4)

    assert not all(np.array_equal(first(_asymmetric()), second(_asymmetric())) for _ in range(5))


def test_sequence_does_not_depend_on_global_random_state() -> None:
    np.random.seed(0)
    first = [_augmentation(5)(_asymmetric()) for _ in range(2)]
    np.random.seed(1)

    assert np.array_equal(first[0], _augmentation(5)(_asymmetric()))
    assert np.array_equal(first[0], first[1])


def test_calls_differ_from_each_other() -> None:
    augment = _augmentation(0)

    assert len({augment(_asymmetric()).tobytes() for _ in range(20)}) >= 18


@pytest.mark.parametrize("shape", [(48, 48, 3), (24, 24, 3), (30, 50, 3)])
def test_shape_and_dtype_stay(shape: tuple[int, int, int]) -> None:
    augment = _augmentation(0)
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)

    for _ in range(40):
        result = augment(image)
        assert result.shape == shape
        assert result.dtype == np.uint8


def test_input_is_not_changed() -> None:
    augment, image = _augmentation(0), _asymmetric()

    for _ in range(20):
        augment(image)
    assert np.array_equal(image, _asymmetric())


def test_signs_are_never_mirrored_or_turned() -> None:
    augment, image = _augmentation(1), _asymmetric()
    turned = {
        "left to right": image[:, ::-1],
        "upside down": image[::-1],
        "half turn": image[::-1, ::-1],
        "quarter turn": np.rot90(image),
        "other quarter turn": np.rot90(image, 3),
        "transposed": image.transpose(1, 0, 2),
    }

    results = [augment(image) for _ in range(200)]

    for name, other in turned.items():
        kept = [_correlation(result, image) > _correlation(result, other) for result in results]
        assert np.mean(kept) > 0.97, name  # a hole or pole may cover what the picture is known by


def test_crops_of_a_batch_are_warped_each_in_its_own_way() -> None:
    augmentation = Augmentation()
    augmentation.seed(0)

    altered = augmentation(np.stack([_asymmetric()] * (GROUP + 1)))

    assert len({image.tobytes() for image in altered}) == GROUP + 1
    assert augmentation(np.zeros((3 * GROUP - 1, 24, 24, 3), np.uint8)).shape == (3 * GROUP - 1, 24, 24, 3)


@pytest.mark.parametrize(("batch", "lights"), [(8, 2), (256, 64), (512, 64)])
def test_a_large_batch_has_64_lights(batch: int, lights: int) -> None:
    augmentation = Augmentation(batch)
    augmentation.seed(0)
    # Crops of one colour show no warp; those that share light and noise come out equal but for what fills their holes.
    altered = augmentation(np.full((batch, 48, 48, 3), 90, np.uint8))

    group = batch // lights
    shares = [float((one == other).mean()) for one, other in pairwise(altered)]
    assert min(share for place, share in enumerate(shares, start=1) if place % group) > 0.5
    assert len({crop.tobytes() for crop in altered[::group]}) > 0.8 * lights


def test_dark_crops_do_not_turn_black() -> None:
    dark = _asymmetric() // 10
    augment = _augmentation(0)

    spreads = [float(augment(dark).std()) for _ in range(60)]

    assert np.mean([spread < 1 for spread in spreads]) < 0.05
