"""Machines that share a bucket: each has a cache of its own. And what lies in the bucket."""

import boto3
import pytest

from bsce_tf.remote import leases


@pytest.fixture(autouse=True)
def quick(tmp_path, monkeypatch):
    """Short leases; this process is on machine one."""
    monkeypatch.setattr(leases, '_SETTLE', 0.0)
    monkeypatch.setattr(leases, '_LOOK', 0.05)
    monkeypatch.setattr(leases, '_EXPIRED', 0.3)
    machine(monkeypatch, tmp_path / 'one')


def machine(monkeypatch, folder):
    """Stands for another machine: another cache."""
    monkeypatch.setenv('BSCE_TF_CACHE', str(folder))


def in_bucket(prefix):
    """{path: bytes} of what lies there."""
    client = boto3.client('s3')
    found = client.list_objects_v2(Bucket='shop', Prefix=f'{prefix}/').get('Contents', [])
    return {entry['Key'].removeprefix(f'{prefix}/'): client.get_object(
        Bucket='shop', Key=entry['Key'])['Body'].read() for entry in found}
