"""What is tried, how it is chosen, and how the choice gets into a config.pbtxt."""

import numpy as np
import pytest
from tritonclient.grpc import model_config_pb2 as pb

from export.config import Serving, recognizer_config
from export.errors import ExportError
from export.tuning.plan import Outcome, Setting, choose, grid, grpc_threads_in, in_rounds, measured, retuned, setting_of
from tests.network_configs import classifier_config

PRESENT = Setting(1, 0, 200, 64)
OTHER, THIRD = Setting(2, 1, 0, 8), Setting(2, 2, 0, 8)


def outcome(setting: Setting, p99_ms: float, *rounds: float) -> Outcome:
    return Outcome(setting, rounds, p50_ms=p99_ms / 2, p95_ms=p99_ms, p99_ms=p99_ms, requests=100)


def test_the_present_setting_is_always_measured_and_nothing_twice() -> None:
    settings = grid([1, 2], [0], [200], [8, 64], PRESENT)
    assert settings[0] == PRESENT
    assert len(settings) == len(set(settings)) == 4
    assert len(grid([2], [1], [0], [8], PRESENT)) == 2


def test_each_round_measures_all_settings_in_another_order() -> None:
    settings = grid([1, 2], [1, 2], [0, 200], [8, 64], PRESENT)
    rounds = list(in_rounds(settings, 4, seed=0))
    assert all(sorted(each, key=str) == sorted(settings, key=str) for each in rounds)
    assert len({tuple(each) for each in rounds}) == 4
    assert list(in_rounds(settings, 4, seed=0)) == rounds, "the same seed gives the same order"


def test_percentiles_are_of_all_rounds_together_and_throughput_of_each() -> None:
    found = measured(OTHER, [(2.0, np.full(90, 1.0)), (2.0, np.full(10, 9.0))])
    assert (found.p50_ms, found.p99_ms, found.requests) == (1, 9, 100)
    assert found.images_per_second == (45, 5) and found.throughput == 25


def test_a_setting_that_answered_nothing_is_a_problem_and_no_figure() -> None:
    found = measured(OTHER, [(2.0, np.empty(0))])
    assert found.problem and found.throughput == 0
    assert found.as_dict()["p99_ms"] is None, "JSON has no NaN"


def test_the_fastest_within_the_budget_is_chosen() -> None:
    outcomes = [outcome(PRESENT, 30, 100, 100), outcome(OTHER, 19, 200, 200), outcome(THIRD, 21, 900, 900)]
    chosen = choose(outcomes, 20, PRESENT)
    assert chosen is not None and chosen.setting == OTHER


def test_none_is_chosen_where_none_is_within_the_budget_or_works() -> None:
    assert choose([outcome(PRESENT, 30, 100), Outcome(OTHER, problem="no memory")], 20, PRESENT) is None


def test_what_is_not_faster_in_every_round_does_not_take_the_place_of_the_present() -> None:
    now = outcome(PRESENT, 10, 100, 100, 100)
    lucky = outcome(OTHER, 10, 99, 300, 300)
    always = outcome(THIRD, 10, 101, 101, 101)
    for others, expected in (([lucky], PRESENT), ([lucky, always], THIRD), ([], PRESENT)):
        chosen = choose([now, *others], 20, PRESENT)
        assert chosen is not None and chosen.setting == expected
    too_slow = outcome(PRESENT, 30, 500, 500, 500)
    chosen = choose([too_slow, lucky], 20, PRESENT)
    assert chosen is not None and chosen.setting == OTHER, "a present setting over the budget is no measure"


def test_a_setting_goes_into_a_configuration_and_comes_back() -> None:
    config = classifier_config(
        "sign_classifier", 48, 43, Serving(64, target="gpu", tensorrt=True, max_queue=256, queue_timeout_ms=1000)
    )
    before = pb.ModelConfig()
    before.CopyFrom(config)
    for setting in (OTHER, Setting(3, 0, 0, 1), Setting(1, 4, 100, 256)):
        new = retuned(config, setting)
        assert setting_of(new) == setting
        assert [each.batch_size for each in new.model_warmup] == sorted({1, setting.max_batch})
        assert new.model_warmup[-1].name == f"batch of {setting.max_batch}"
        (accelerator,) = new.optimization.execution_accelerators.gpu_execution_accelerator
        assert accelerator.parameters["trt_profile_max_shapes"] == f"images:{setting.max_batch}x48x48x3"
        policy = new.dynamic_batching.default_queue_policy
        assert (policy.max_queue_size, policy.default_timeout_microseconds) == (256, 1_000_000)
        assert new.instance_group[0].kind == config.instance_group[0].kind
        assert new.output == config.output and new.version_policy == config.version_policy
        assert retuned(new, PRESENT) == retuned(config, PRESENT), "nothing is lost on the way"
    assert config == before
    assert setting_of(config) == PRESENT


def test_a_preferred_batch_stays_where_it_fits() -> None:
    config = classifier_config("sign_classifier", 48, 43, Serving(64, preferred_batch=16))
    assert list(config.dynamic_batching.preferred_batch_size) == [16]
    for largest, kept in ((64, [16]), (32, [16]), (16, []), (8, [])):
        assert list(retuned(config, Setting(2, 1, 0, largest)).dynamic_batching.preferred_batch_size) == kept


def test_a_server_is_started_with_the_threads_it_was_tuned_with() -> None:
    assert grpc_threads_in({"grpc_threads": 8}) == "--grpc-threads 8, triton.grpcThreads in the chart"
    assert grpc_threads_in({"grpc_threads": 0}) == grpc_threads_in({}) == ""


def test_the_queue_holds_a_full_batch() -> None:
    config = classifier_config("sign_classifier", 48, 43, Serving(8, max_queue=16))
    assert retuned(config, Setting(1, 0, 0, 64)).dynamic_batching.default_queue_policy.max_queue_size == 64
    config.dynamic_batching.ClearField("default_queue_policy")
    assert not retuned(config, Setting(1, 0, 0, 64)).dynamic_batching.HasField("default_queue_policy")


def test_a_warm_up_of_ones_own_stays_where_it_fits() -> None:
    config = classifier_config("sign_classifier", 48, 43, Serving(64))
    for batch in (4, 32):
        config.model_warmup.add(name="mine", batch_size=batch).inputs["images"].CopyFrom(
            config.model_warmup[0].inputs["images"]
        )
    assert [each.batch_size for each in retuned(config, Setting(1, 0, 0, 8)).model_warmup] == [1, 8, 4]


def test_what_cannot_be_tuned_is_named() -> None:
    with pytest.raises(ExportError, match="sign_recognizer runs on python: tune networks"):
        setting_of(recognizer_config("sign_recognizer", 0.3, Serving(8)))
    config = classifier_config("sign_classifier", 48, 43, Serving(8))
    config.ClearField("dynamic_batching")
    with pytest.raises(ExportError, match="written by hand"):
        setting_of(config)
    config = classifier_config("sign_classifier", 48, 43, Serving(8))
    config.parameters["intra_op_thread_count"].string_value = "many"
    with pytest.raises(ExportError, match="'many': give a whole number"):
        setting_of(config)
