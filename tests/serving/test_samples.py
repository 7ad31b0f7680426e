import io
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from bsce_tf.data.examples import Examples, Splits
from bsce_tf.errors import InputError
from bsce_tf.serving import samples


def _png(value):
    file = io.BytesIO()
    Image.fromarray(np.full((4, 4, 3), value, np.uint8)).save(file, 'PNG')
    return file.getvalue()


def decoded(data):
    return int(np.asarray(Image.open(io.BytesIO(data)))[0, 0, 0])


def test_a_folder_of_images_without_what_systems_leave_there(tmp_path):
    for name, data in (('a/1.png', _png(1)), ('2.PNG', _png(2)), ('a/._1.png', b'\0'),
                       ('@eaDir/1.png', _png(3)), ('__MACOSX/a/1.png', _png(4)),
                       ('Thumbs.db', _png(5)), ('broken.png', b'x')):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_bytes(data)
    assert sorted(samples.load(None, tmp_path)) == sorted([_png(1), _png(2)])
    assert samples.load(None, tmp_path / 'a' / '1.png') == [_png(1)]
    (tmp_path / 'empty').mkdir()
    with pytest.raises(InputError, match='no image to check the export with .none found'):
        samples.load(None, tmp_path / 'empty')


def test_labelled_images_are_of_the_test_set_or_of_validation_without_its_labels(monkeypatch):
    def split(values, labels):
        return Examples(np.array(labels), ('a', 'b') if labels[0] >= 0 else (), images=np.array(
            values, np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), np.uint8))

    sets = Splits(None, split([1, 2, 3], [0, 1, 1]), split([7, 8], [1, 0]))
    run = SimpleNamespace(config=SimpleNamespace(data={}, seed=0))
    monkeypatch.setattr(samples.prepare, 'load', lambda **_: sets)
    assert [(decoded(data), label) for data, label in samples.labelled(run, 9)] == [(7, 1), (8, 0)]
    sets = sets._replace(test=split([7, 8], [-1, -1]))
    assert [(decoded(data), label) for data, label in samples.labelled(run, 2)] == [(1, 0), (3, 1)]

    def missing(**_):
        raise InputError('gone')

    monkeypatch.setattr(samples.prepare, 'load', missing)
    assert samples.labelled(run, 9) == []
