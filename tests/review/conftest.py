"""An audited set of image files, of which each test takes a copy."""

import shutil

import pytest

from tests.review import audited


@pytest.fixture(scope='session')
def _written(tmp_path_factory):
    base = tmp_path_factory.mktemp('review')
    images = audited.write_images(base / 'images')
    with pytest.MonkeyPatch.context() as patch:
        audited.write(audited.settings(images), base / 'audit', patch)
    return images, base / 'audit'


@pytest.fixture
def images(_written):
    """Folder of the images; not to be changed."""
    return _written[0]


@pytest.fixture
def folder(_written, tmp_path):
    """Folder of the audit."""
    return shutil.copytree(_written[1], tmp_path / 'audit')
