import io

import numpy as np
import pytest
from PIL import Image

from bsce_tf.errors import InputError
from bsce_tf.serving import samples


def _png(value):
    file = io.BytesIO()
    Image.fromarray(np.full((4, 4, 3), value, np.uint8)).save(file, 'PNG')
    return file.getvalue()


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
