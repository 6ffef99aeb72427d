"""Signatures of versions with the OpenSSF's model signing: model.sig, over the manifest and every other file.

Keys are elliptic-curve keys in PEM files (P-256, P-384 or P-521). A signature is valid for one model and number,
because the manifest, which it covers, has them.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.errors import RepositoryError, SignatureError
from export.repository.manifest import SIGNATURE

PASSWORD = "SIGNS_KEY_PASSWORD"  # the environment variable with the password of an encrypted key


@dataclass(frozen=True)
class Signer:
    """Signs versions with a private key, a PEM file."""

    private_key: Path

    def check(self) -> None:
        """Raises RepositoryError if the key cannot be used, before anything is written."""
        self._config()

    def sign(self, folder: Path) -> None:
        """Writes model.sig into the folder of a version; raises RepositoryError if the key cannot be used."""
        config = self._config()
        try:
            config.set_hashing_config(_hashing()).sign(folder, folder / SIGNATURE)
        except Exception as error:  # the library's errors have no common base
            raise RepositoryError(f"{folder} cannot be signed: {error}") from error
        with (folder / SIGNATURE).open("rb") as file:
            os.fsync(file.fileno())

    def _config(self) -> Any:
        signing = _library().signing
        password = os.environ.get(PASSWORD)
        try:
            # The library hands the password on to cryptography, which takes bytes.
            return signing.Config().use_elliptic_key_signer(
                private_key=self.private_key, password=password.encode() if password else None
            )
        except Exception as error:  # OSError, TypeError, ValueError and cryptography's own
            raise RepositoryError(
                f"{self.private_key} cannot sign ({error}): give the PEM file of a private key on P-256, P-384 or "
                f"P-521; the password of an encrypted one belongs in {PASSWORD}"
            ) from error


def load_signer(private_key: Path | None) -> Signer | None:
    """Returns the signer of a key, None for none; raises RepositoryError if the key cannot be used."""
    if private_key is None:
        return None
    signer = Signer(private_key)
    signer.check()
    return signer


def check_signature(folder: Path, public_key: Path) -> None:
    """Checks that a version was signed with the private half of a key, and that no file has changed since.

    Raises:
        SignatureError: it is not signed, by another key, or a file was altered, added or removed.
        RepositoryError: the key cannot be used, or the library is missing.
    """
    verifying = _library().verifying
    try:
        config = verifying.Config().use_elliptic_key_verifier(public_key=public_key)
    except Exception as error:  # OSError, ValueError and cryptography's own
        raise RepositoryError(
            f"no signature can be checked with {public_key} ({error}): give the PEM file of the public key, on P-256, "
            "P-384 or P-521"
        ) from error
    if not (folder / SIGNATURE).exists():
        raise SignatureError(f"{folder} is not signed: sign it with `signs repository sign`")
    try:
        config.set_hashing_config(_hashing()).verify(folder, folder / SIGNATURE)
    except Exception as error:  # the library's errors have no common base; a wrong key's has no text
        reason = str(error) or "another key signed it, or the signature was altered"
        raise SignatureError(f"the signature of {folder} does not hold: {reason}") from error


def _hashing() -> Any:
    hashing = _library().hashing
    return hashing.Config().set_ignored_paths(paths=[SIGNATURE], ignore_git_paths=False)


def _library() -> Any:
    try:
        import model_signing
    except ImportError as error:
        raise RepositoryError(
            f"signatures need model-signing, and {error.name} is missing: pip install '.[sign]'"
        ) from error
    return model_signing
