"""API keys: who is let in, how they are made, that nothing shows them."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from clients.gateway import logs
from clients.gateway.app import make_app
from clients.gateway.auth import Keys, line_of, new_key
from clients.gateway.settings import Settings
from traffic_sign_client.errors import ClientError

ROOT = Path(__file__).parents[3]
LET_IN = 503  # by the gateway, behind which there is no Triton


@pytest.fixture
def key() -> str:
    return new_key()


@pytest.fixture
def file(tmp_path: Path, key: str) -> Path:
    path = tmp_path / "keys.txt"
    path.write_text(f"# who may ask\n\n{line_of('tablet', key)}\n{line_of('other', new_key())}\n")
    return path


def status(client: TestClient, **headers: str) -> int:
    answer = client.get("/v1/classes", headers={name.replace("_", "-"): value for name, value in headers.items()})
    if answer.status_code == 401:
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code


def test_only_who_has_a_key_is_let_in(file: Path, key: str) -> None:
    with TestClient(make_app(Settings("127.0.0.1:9", retries=0, keys=file))) as client:
        assert status(client, Authorization=f"Bearer {key}") == LET_IN
        assert status(client, authorization=f"bearer  {key} ") == LET_IN
        assert status(client, X_API_Key=key) == LET_IN
        for wrong in ("", key[:-1], key + "x", key.upper(), new_key()):
            assert status(client, Authorization=f"Bearer {wrong}") == 401
            assert status(client, X_API_Key=wrong) == 401
        assert client.get("/v1/classes", headers={b"X-API-Key": b"\xfc\xff"}).status_code == 401
        assert status(client, Authorization=f"Basic {key}") == 401
        assert status(client) == 401
        assert client.post("/v1/recognize", content=b"x").status_code == 401
        assert client.post("/v1/feedback", content=b"x").status_code == 401
        for path in ("/healthz", "/metrics", "/docs", "/openapi.json"):
            assert client.get(path).status_code == 200
        described = client.get("/openapi.json").json()
        assert described["paths"]["/v1/recognize"]["post"]["security"] and described["components"]["securitySchemes"]


def test_a_key_that_is_taken_back_is_so_at_once_and_a_broken_file_changes_nothing(file: Path, key: str) -> None:
    with TestClient(make_app(Settings("127.0.0.1:9", retries=0, keys=file))) as client:
        later = new_key()
        replaced = file.with_suffix(".new")
        replaced.write_text(line_of("later", later))
        replaced.replace(file)
        assert (status(client, X_API_Key=key), status(client, X_API_Key=later)) == (401, LET_IN)
        file.write_text("half a li")
        assert (status(client, X_API_Key=key), status(client, X_API_Key=later)) == (401, LET_IN)
        file.unlink()
        assert status(client, X_API_Key=later) == LET_IN


@pytest.mark.parametrize("text", ["", "# nobody\n", "tablet 0123\n", "tablet sha256:" + "g" * 64, "{two}{two}"])
def test_a_file_that_lets_nobody_in_is_refused_and_not_shown(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.txt"
    secret = new_key()
    path.write_text(text.format(two=line_of("twice", secret) + "\n") + ("" if "two" in text or not text else secret))
    with pytest.raises(ClientError, match="--new-key") as raised:
        Keys(path)
    assert secret not in str(raised.value)
    with pytest.raises(ClientError, match="cannot be read"):
        Keys(tmp_path / "none.txt")


def test_the_log_has_the_name_of_a_key_and_not_the_key(file: Path, key: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with TestClient(make_app(Settings("127.0.0.1:9", retries=0, keys=file))) as client:
        for headers in ({"X-API-Key": key}, {"Authorization": f"Bearer {key}"}, {"X-API-Key": f"{key}x"}):
            client.get("/v1/classes", headers=headers)
    written = [logs.JsonLines().format(record) for record in caplog.records]
    assert sum('"key": "tablet"' in line for line in written) == 2
    assert not any(key in line for line in written)


def test_the_command_makes_a_key_that_works(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from clients.command.main import main; main()", "gateway", "--new-key"]
    run = {"capture_output": True, "text": True, "cwd": ROOT, "timeout": 240, "env": os.environ}
    made = subprocess.run([*command, "tablet"], check=True, **run)  # type: ignore[call-overload]
    (tmp_path / "keys.txt").write_text(made.stdout)
    key = made.stderr.split()[-1]
    assert key not in made.stdout and len(key) > 40
    with TestClient(make_app(Settings("127.0.0.1:9", retries=0, keys=tmp_path / "keys.txt"))) as client:
        assert status(client, X_API_Key=key) == LET_IN
    for name in ("two words", ""):
        refused = subprocess.run([*command, name], check=False, **run)  # type: ignore[call-overload]
        assert refused.returncode == 1 and "cannot be the name of a key" in refused.stderr
    none = subprocess.run([*command[:-1], "--keys", "none.txt"], check=False, **run)  # type: ignore[call-overload]
    assert none.returncode == 1 and "signs: none.txt cannot be read" in none.stderr
