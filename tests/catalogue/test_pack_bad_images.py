import numpy as np
import pytest

from bsce_tf.catalogue import pack, shards
from bsce_tf.data.bad_images import BadImages
from bsce_tf.data.examples import Examples
from bsce_tf.errors import InputError
from tests.catalogue import packs


def _skipping(folder, fraction=0.5):
    folder.mkdir(exist_ok=True)
    return BadImages('skip', fraction, report=folder / pack.BAD_IMAGES)


def test_bad_images_are_left_out_and_listed(tmp_path):
    """Of the first shard two images, of the second all, of the last one none."""
    whole = packs.examples_in(tmp_path / 'images')
    whole = Examples(whole.labels, whole.class_names, paths=whole.paths, root=whole.root,
                     groups=np.array([b'g%d' % (i // 2) for i in range(packs.COUNT)]))
    gone = [0, 7, *range(10, 20)]
    for i in gone:
        (tmp_path / 'images' / f'{i}.jpg').unlink()
    folder = tmp_path / 'pack'
    told = pack.pack(whole, folder, 10, progress=False, bad=_skipping(folder))
    kept = np.setdiff1d(np.arange(packs.COUNT), gone)
    found = packs.opened(folder)
    assert told['packed'] == len(found) == len(kept)
    assert found.labels.tolist() == whole.labels[kept].tolist()
    assert [found.name(i) for i in range(len(kept))] == [f'{i}.jpg' for i in kept]
    assert found.groups[:].tolist() == whole.groups[kept].tolist()
    assert found.records.read(np.arange(len(kept))[::-1]) == [packs.data_of(i) for i in kept[::-1]]
    rows = (folder / pack.BAD_IMAGES).read_text().splitlines()
    assert [row.split(',')[0] for row in rows] == ['path', *(f'{i}.jpg' for i in gone)]
    assert 'No such file' in rows[1]
    assert pack.pack(whole, folder, 10, progress=False, bad=_skipping(folder)) == told


def test_bad_images_of_an_earlier_start_count_too(tmp_path, monkeypatch):
    examples = packs.examples_in(tmp_path / 'images')
    for i in (0, 1, 2, 24):
        (tmp_path / 'images' / f'{i}.jpg').unlink()
    folder = tmp_path / 'pack'
    real = shards.write

    def dying(shard, *rest):
        if shard.first:
            raise RuntimeError('killed')
        return real(shard, *rest)
    monkeypatch.setattr(shards, 'write', dying)
    with pytest.raises(RuntimeError, match='killed'):
        pack.pack(examples, folder, 10, progress=False, bad=_skipping(folder, 3 / packs.COUNT))
    monkeypatch.undo()
    with pytest.raises(InputError, match='found 4 bad images of 25; expected at most'):
        pack.pack(examples, folder, 10, progress=False, bad=_skipping(folder, 3 / packs.COUNT))
    told = pack.pack(examples, folder, 10, progress=False, bad=_skipping(folder, 4 / packs.COUNT))
    assert told['packed'] == 21


def test_a_set_of_bad_images_alone_is_refused(tmp_path):
    examples = packs.examples_in(tmp_path)
    for path in tmp_path.glob('*.jpg'):
        path.unlink()
    with pytest.raises(InputError, match='no image of data could be packed'):
        pack.pack(examples, tmp_path / 'pack', progress=False, bad=_skipping(tmp_path / 'pack', 1))
