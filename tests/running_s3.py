"""A real S3 server on this machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import boto3
import botocore.session
import pytest
from moto.server import ThreadedMotoServer


@contextmanager
def running_s3(*buckets: str) -> Iterator[dict[str, str]]:
    """Runs one; yields the variables of the environment that lead to it.

    Buckets of those names are there and empty: moto keeps what earlier servers of the process have taken in.
    """
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    patch = pytest.MonkeyPatch()
    # Each client of botocore would read its JSON descriptions of S3 again, which takes longer than most requests.
    patch.setattr(botocore.session, "create_loader", cache(botocore.session.create_loader))
    try:
        host, port = server.get_host_and_port()
        address = f"http://{host}:{port}"
        s3 = boto3.resource(
            "s3", endpoint_url=address, aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1"
        )
        for name in buckets:
            bucket = s3.Bucket(name)
            bucket.create()  # the server answers the same where it is there
            bucket.objects.all().delete()
        yield {
            "AWS_ENDPOINT_URL": address,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
    finally:
        patch.undo()
        server.stop()
