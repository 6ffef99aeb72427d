"""Images to warm up and to measure with: like those that come, and the same each time."""

import numpy as np

from export.kinds import CLASSIFIER, DETECTOR


def test_signs_for_a_classifier_and_scenes_for_a_detector() -> None:
    signs = CLASSIFIER.draw_samples((48, 48), 3)
    scenes = DETECTOR.draw_samples((96, 160), 2)
    assert signs.shape == (3, 48, 48, 3) and scenes.shape == (2, 96, 160, 3)
    for images in (signs, scenes):
        assert images.dtype == np.uint8 and images.std() > 10
        assert not (images[0] == images[1]).all()


def test_the_same_call_draws_the_same_and_fewer_are_the_first_of_them() -> None:
    signs = CLASSIFIER.draw_samples((32, 32), 3)
    assert (signs == CLASSIFIER.draw_samples((32, 32), 3)).all()
    assert (signs[:1] == CLASSIFIER.draw_samples((32, 32), 1)).all()
