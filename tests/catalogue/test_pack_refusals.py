import json

import numpy as np
import pytest

from bsce_tf.data import sources
from bsce_tf.data.examples import Examples
from bsce_tf.data.sources import packed as packed_source
from bsce_tf.errors import InputError
from tests.catalogue import packs


def test_a_missing_image_stops_packing_and_is_named(tmp_path):
    examples = packs.examples_in(tmp_path)
    (tmp_path / '13.jpg').unlink()
    with pytest.raises(InputError, match='13.jpg: No such file'):
        packs.write(examples, tmp_path / 'pack')
    assert len(list((tmp_path / 'pack').glob('shard-*.array_record'))) == 1


def test_a_folder_with_other_data_is_left_alone(packed):
    examples, folder = packed
    for other, size in ((examples.subset(np.arange(24)), 10), (examples, 5),
                        (examples.subset(np.arange(packs.COUNT),
                                         labels=np.zeros(packs.COUNT, int)), 10)):
        with pytest.raises(InputError, match='pack.json: a pack of other data'):
            packs.write(other, folder, size)
    assert packs.opened(folder).records.read([3]) == [packs.data_of(3)]


def test_an_image_that_was_replaced_under_its_name_is_other_data(packed, tmp_path):
    examples, folder = packed
    packs.write(examples, folder)  # nothing to do
    (tmp_path / 'images' / '3.jpg').write_bytes(b'another image')
    with pytest.raises(InputError, match=r'other data or with other shards \(contents differ\)'):
        packs.write(examples, folder)
    facts = json.loads((folder / 'pack.json').read_text())
    del facts['contents']  # a pack of an earlier version
    (folder / 'pack.json').write_text(json.dumps(facts))
    (folder / 'plan.json').unlink()
    packs.write(examples, folder)
    (folder / 'pack.json').write_text('{"images": ')
    with pytest.raises(InputError, match='pack.json: damaged'):
        packs.write(examples, folder)


def test_what_is_read_back_is_compared(tmp_path, monkeypatch):
    examples = packs.examples_in(tmp_path)
    real = packed_source.array_record_module()

    class Faulty(real.ArrayRecordWriter):
        def write(self, image):
            super().write(image[:-1] + b'\0' if image == packs.data_of(4) else image)

    class Module:
        ArrayRecordWriter = Faulty
        ArrayRecordReader = real.ArrayRecordReader
    monkeypatch.setattr(packed_source, 'array_record_module', lambda: Module)
    with pytest.raises(InputError, match='image 4 differs from its source'):
        packs.write(examples, tmp_path / 'pack')
    assert not list((tmp_path / 'pack').glob('shard-*'))


def test_damage_is_found_when_it_is_read(packed):
    _, folder = packed
    shard = sorted(folder.glob('shard-*.array_record'))[1]
    data = shard.read_bytes()
    place = data.index(packs.data_of(12))
    shard.write_bytes(data[:place] + bytes(8) + data[place + 8:])
    with pytest.raises(InputError, match='shard-00001-of-00003.array_record: damaged'):
        packs.opened(folder).records.read([12])
    shard.write_bytes(data[:100])
    with pytest.raises(InputError, match='0 images; expected 10'):
        packs.opened(folder).records.read([12])
    shard.unlink()
    with pytest.raises(InputError, match='shard-00001-of-00003.array_record: no such file'):
        packs.opened(folder).records.read([12])


def test_names_of_an_earlier_pack_are_read_and_damaged_ones_are_told(packed):
    _, folder = packed
    np.save(folder / 'names_ends.npy', np.arange(packs.COUNT))
    with pytest.raises(InputError, match='damaged pack .names_ends.npy is not that of names.npy'):
        packs.opened(folder)
    (folder / 'names_ends.npy').unlink()
    np.save(folder / 'names.npy', np.array([f'{i}.jpg' for i in range(packs.COUNT)], 'S'))
    assert packs.opened(folder).name(24) == '24.jpg'


def test_packs_with_other_classes_do_not_go_together(packed, tmp_path):
    examples, folder = packed
    other = Examples(examples.labels, ('a', 'x', 'c'), paths=examples.paths, root=examples.root)
    packs.write(other, tmp_path / 'other')
    with pytest.raises(InputError, match="other: class 1 is 'x'; expected 'b'"):
        sources.load('packed', root=str(tmp_path), train='pack', validation='other')


def test_a_pack_with_wrong_counts_is_refused(packed):
    facts = json.loads((packed[1] / 'pack.json').read_text())
    (packed[1] / 'pack.json').write_text(json.dumps(facts | {'packed': 26}))
    with pytest.raises(InputError, match='25 labels and 25 names; expected 26'):
        packs.opened(packed[1])
    for text in ('{"images": 25}', '[25]', '{'):
        (packed[1] / 'pack.json').write_text(text)
        with pytest.raises(InputError, match='damaged pack'):
            packs.opened(packed[1])
    (packed[1] / 'pack.json').write_text(json.dumps(facts))
    (packed[1] / 'names.npy').write_bytes(b'')
    with pytest.raises(InputError, match='damaged pack'):
        packs.opened(packed[1])


def test_shards_hold_at_least_one_image(tmp_path):
    with pytest.raises(InputError, match='data.shard_images: found 0'):
        packs.write(packs.examples_in(tmp_path), tmp_path / 'pack', 0)
