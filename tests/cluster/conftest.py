"""One bed and one cluster for all tests of a file: they take minutes to make."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # bed and cluster, which no package holds

if TYPE_CHECKING:
    from bed import Bed
    from cluster import Cluster

    from humtune.storage import Storage

HOSTS = ("alpha", "beta", "gamma")


@pytest.fixture(scope="module")
def bed() -> "Iterator[Bed]":
    """Three hosts and a desk; skipped, with the reason, where they can't be made."""
    from bed import Bed, why_not

    if reason := why_not():
        pytest.skip(reason)
    with Bed(*HOSTS) as made:
        yield made


@pytest.fixture(scope="module")
def storage(bed: "Bed") -> "Iterator[Storage]":
    """The bucket that the hosts share, as seen from here."""
    import boto3
    from bed import S3
    from cluster import ACCESS, BUCKET

    from humtune.storage import Storage

    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"aws_endpoint_url": S3, **ACCESS}.items():
            patch.setenv(name.upper(), value)
        boto3.client("s3", region_name="us-east-1").create_bucket(Bucket=BUCKET)
        yield Storage(f"s3://{BUCKET}/runs")


@pytest.fixture(scope="module")
def cluster(bed: "Bed", storage: "Storage") -> "Cluster":
    """All hosts as one cluster, with recordings and a space in the head's home folder."""
    from cluster import Cluster

    made = Cluster(bed, HOSTS[0], HOSTS[1:])
    made.up()
    return made
