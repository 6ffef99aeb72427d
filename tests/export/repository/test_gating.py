"""The gate's verdict in the manifest: written in one step, under the signature, and asked for by `promote --gated`."""

from pathlib import Path
from typing import Any

import pytest

from export.errors import RepositoryError
from export.gate.recording import record_verdict, require_recordable
from export.repository import Manifest, load_manifest, promote, publish_copy
from export.repository.promotion import champion, gate_failure_reason
from export.repository.pull import pull
from export.repository.signing import Signer
from export.repository.store import open_store
from export.repository.verification import verify
from tests.export.repository.samples import publish_once, tree


def verdict(challenger: Manifest, best: Manifest | None, passed: bool = True) -> dict[str, Any]:
    return {
        "passed": passed,
        "verdict": f"m {challenger.version} is evaluated",
        "challenger": {"version": challenger.version, "sha256": challenger.model_sha256},
        "champion": {"version": best.version, "sha256": best.model_sha256} if best else None,
    }


def two_versions(place: str | Path) -> tuple[Manifest, Manifest]:
    first, second = publish_once(place, b"one"), publish_once(place, b"two")
    promote(place, "m", 1, "")
    return first, second


def test_the_verdict_stands_in_the_manifest_and_nothing_else_changes(place: str) -> None:
    first, second = two_versions(place)
    said = verdict(second, first, passed=False)
    record_verdict(place, second, said)
    evaluated = load_manifest(place, "m", 2)
    assert evaluated.gate == said
    assert (evaluated.files, evaluated.created, load_manifest(place, "m", 1).gate) == (second.files, second.created, {})
    record_verdict(place, second, verdict(second, first))
    assert load_manifest(place, "m", 2).gate["passed"] is True, "the last one counts"
    assert not any(check.problems for check in verify(place))
    assert promote(place, "m", 2, "", gated=True) is not None


def test_promote_gated_takes_what_has_passed_against_the_present_champion(tmp_path: Path) -> None:
    first, second = two_versions(tmp_path)
    third = publish_once(tmp_path, b"three")

    def refused(version: int) -> str:
        before = champion(open_store(tmp_path), "m")
        with pytest.raises(RepositoryError, match="it is not promoted") as error:
            promote(tmp_path, "m", version, "", gated=True)
        assert champion(open_store(tmp_path), "m") == before
        return str(error.value)

    assert (
        f"m 2 has not been through the gate (`signs export gate m --data DATA --challenger 2 -r {tmp_path}`)"
        in refused(2)
    )
    record_verdict(tmp_path, second, verdict(second, first, passed=False))
    assert "m 2 has not passed the gate" in refused(2)
    record_verdict(tmp_path, second, verdict(third, first))
    assert "another version" in refused(2)
    record_verdict(tmp_path, second, verdict(second, third))
    assert "version 1" in refused(2)
    record_verdict(tmp_path, second, verdict(second, first))
    record_verdict(tmp_path, third, verdict(third, first))
    assert promote(tmp_path, "m", 2, "", gated=True) is not None
    assert promote(tmp_path, "m", 2, "", gated=True) is None, "the champion needs no gate"
    assert "version 2, the present champion" in refused(3), "it was compared with one that is champion no longer"
    assert promote(tmp_path, "m", 3, "") is not None, "without --gated that is the caller's business"


def test_a_first_champion_may_have_been_compared_with_anything(tmp_path: Path) -> None:
    first, second = publish_once(tmp_path, b"one"), publish_once(tmp_path, b"two")
    record_verdict(tmp_path, first, verdict(first, None))
    record_verdict(tmp_path, second, verdict(second, first))
    assert gate_failure_reason(tmp_path, "m", 1) == gate_failure_reason(tmp_path, "m", 2) == ""


@pytest.mark.parametrize("gate", [{"passed": "yes"}, {"passed": True}, {"passed": True, "challenger": 2}])
def test_a_verdict_that_somebody_wrote_by_hand_is_none(tmp_path: Path, gate: dict[str, Any]) -> None:
    _, second = two_versions(tmp_path)
    record_verdict(tmp_path, second, gate)
    assert gate_failure_reason(tmp_path, "m", 2)
    path = tmp_path / "m" / "2" / "manifest.json"
    path.write_text(path.read_text().replace('"gate": {', '"gate": [], "other": {'))
    with pytest.raises(RepositoryError, match="gate is not what it should be"):
        gate_failure_reason(tmp_path, "m", 2)


def test_a_copy_carries_the_verdict_along_and_a_signature_covers_it(tmp_path: Path, keys: Path) -> None:
    first, second = two_versions(tmp_path / "staging")
    record_verdict(tmp_path / "staging", second, verdict(second, first))
    production = tmp_path / "production"
    publish_once(production, b"zero")  # so that the numbers differ
    publish_copy(f"{tmp_path}/staging/m/1", production)
    promote(production, "m", 2, "")
    publish_copy(f"{tmp_path}/staging/m/2", production, signer=Signer(keys / "release.pem"))
    assert gate_failure_reason(production, "m", 3) == "", "it was compared with the very files that are champion here"
    path = production / "m" / "3" / "manifest.json"
    path.write_text(path.read_text().replace("is evaluated", "is forged"))
    (problem,) = next(check.problems for check in verify(production, "m", 3, keys / "release.pub"))
    assert "signature" in problem


def test_a_signed_version_takes_a_key_and_is_signed_again(tmp_path: Path, keys: Path) -> None:
    first, second = publish_once(tmp_path, b"one"), publish_once(tmp_path, b"two", signer=Signer(keys / "release.pem"))
    with pytest.raises(RepositoryError, match=r"is signed.*--private-key.*--dry-run"):
        require_recordable(tmp_path, "m", 2, None)
    with pytest.raises(RepositoryError, match="is signed"):
        record_verdict(tmp_path, second, verdict(second, first))
    assert load_manifest(tmp_path, "m", 2).gate == {}
    record_verdict(tmp_path, second, verdict(second, first), Signer(keys / "release.pem"))
    (check,) = verify(tmp_path, "m", 2, keys / "release.pub")
    assert check.signature == "valid" and not check.problems
    assert load_manifest(tmp_path, "m", 2).gate["passed"] is True


def test_an_unsigned_version_is_signed_where_a_key_is_given(tmp_path: Path, keys: Path) -> None:
    first, second = two_versions(tmp_path)
    record_verdict(tmp_path, second, verdict(second, first), Signer(keys / "release.pem"))
    (check,) = verify(tmp_path, "m", 2, keys / "release.pub")
    assert check.signature == "valid" and not check.problems


def test_what_is_gone_or_another_by_now_gets_no_verdict(tmp_path: Path, keys: Path) -> None:
    first, second = two_versions(tmp_path)
    manifest = tmp_path / "m" / "2" / "manifest.json"
    manifest.write_bytes(Manifest("m", 2, second.files, precision="int8").to_bytes())
    before = tree(tmp_path)
    with pytest.raises(RepositoryError, match="has changed since it was evaluated"):
        record_verdict(tmp_path, second, verdict(second, first))
    with pytest.raises(RepositoryError, match="there is no version 3"):
        record_verdict(tmp_path, Manifest("m", 3, {}), {})
    with pytest.raises(RepositoryError, match=r"nowhere\.pem cannot sign"):
        require_recordable(tmp_path, "m", 2, Signer(keys / "nowhere.pem"))
    assert tree(tmp_path) == before


def test_a_verdict_is_pulled_too(tmp_path: Path) -> None:
    first, second = two_versions(tmp_path / "place")
    served = tmp_path / "served"
    (pulled,) = pull(tmp_path / "place", served, {"m": [2]})
    assert pulled.fetched
    record_verdict(tmp_path / "place", second, verdict(second, first))
    (pulled,) = pull(tmp_path / "place", served, {"m": [2]})
    assert pulled.fetched and load_manifest(served, "m", 2).gate["passed"] is True
    (pulled,) = pull(tmp_path / "place", served, {"m": [2]})
    assert not pulled.fetched
