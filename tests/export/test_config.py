"""config.pbtxt goes through protobuf both ways."""

import pytest

from export.config import classifier_config, from_text, recognizer_config, to_text
from export.errors import RepositoryError


def test_what_is_written_is_what_is_read() -> None:
    config = classifier_config("sign_classifier", 48, 43, 64)
    assert from_text(to_text(config)) == config


def test_says_what_triton_needs() -> None:
    config = classifier_config("sign_classifier", 48, 43, 64, queue_delay_us=123)
    assert config.platform == "onnxruntime_onnx"
    assert config.max_batch_size == 64
    assert list(config.input[0].dims) == [48, 48, 3]
    assert list(config.output[0].dims) == [43]
    assert config.output[0].label_filename == "labels.txt"
    assert config.dynamic_batching.max_queue_delay_microseconds == 123
    assert [warm_up.batch_size for warm_up in config.model_warmup] == [1, 64]


def test_the_recognizer_goes_both_ways_too() -> None:
    config = recognizer_config("sign_recognizer", 8, 0.25, instances=3, queue_delay_us=50)
    assert from_text(to_text(config)) == config
    assert (config.backend, config.max_batch_size, config.instance_group[0].count) == ("python", 8, 3)
    assert {key: value.string_value for key, value in config.parameters.items()} == {
        "score_threshold": "0.25",
        "detector_version": "latest",
        "classifier_version": "latest",
    }
    assert config.dynamic_batching.max_queue_delay_microseconds == 50


def test_nonsense_is_refused() -> None:
    with pytest.raises(RepositoryError, match="cannot be read"):
        from_text("max_batch_size: many")
