import io
from pathlib import Path
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


def test_labelled_images_are_those_that_evaluate_takes(monkeypatch):
    def split(values, labels):
        return Examples(np.array(labels), ('a', 'b'), images=np.array(
            values, np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), np.uint8))

    sets = Splits(split([5], [0]), split([1, 2, 3], [0, 1, 1]), split([7, 8], [1, 0]))
    run = SimpleNamespace(class_names=('a', 'b'), folder=Path('run'), data={
        'fingerprint': 'other'}, config=SimpleNamespace(seed=0))
    config = SimpleNamespace(data={})
    monkeypatch.setattr(samples.run_data.prepare, 'load', lambda **_: sets)

    def found(count):
        return [(decoded(data), label) for data, label in samples.labelled(config, [run], count)]

    assert found(9) == [(7, 1), (8, 0)]
    sets = sets._replace(test=None)
    assert found(2) == [(1, 0), (3, 1)]
    run.class_names = ('a', 'c')
    with pytest.raises(InputError, match="'c'"):
        found(2)
