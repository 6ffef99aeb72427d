"""The Triton model repository, in a folder or a bucket: numbered versions with checksums, parity and provenance."""

from export.repository.manifest import MANIFEST, SIGNATURE, Manifest, parse_manifest, verify_files
from export.repository.promotion import champion, promote, rollback
from export.repository.publishing import load_manifest, publish, publish_copy, versions, withdraw

__all__ = [
    "MANIFEST",
    "SIGNATURE",
    "Manifest",
    "champion",
    "load_manifest",
    "parse_manifest",
    "promote",
    "publish",
    "publish_copy",
    "rollback",
    "verify_files",
    "versions",
    "withdraw",
]
