import concurrent.futures
import json
import pickle
import signal
import subprocess
import sys
import time

import ml_collections
import numpy as np
import pytest

from bsce_tf.catalogue import pack
from bsce_tf.data import prepare, sources
from bsce_tf.data.examples import Examples
from bsce_tf.data.sources import packed as packed_source
from bsce_tf.errors import InputError

COUNT = 25


def _bytes(number):
    return np.random.default_rng(number).bytes(200 + 37 * number)


def _examples(root, count=COUNT):
    for i in range(count):
        (root / f'{i}.jpg').write_bytes(_bytes(i))
    paths = np.array([f'{i}.jpg' for i in range(count)], 'S')
    return Examples(np.arange(count) % 3, ('a', 'b', 'c'), paths=paths, root=str(root))


def _pack(examples, folder, shard_images=10):
    pack.pack(examples, folder, shard_images, progress=False)


def _open(folder):
    return sources.load('packed', root=str(folder.parent), train=folder.name).train


@pytest.fixture
def packed(tmp_path):
    (tmp_path / 'images').mkdir()
    examples = _examples(tmp_path / 'images')
    _pack(examples, tmp_path / 'pack')
    return examples, tmp_path / 'pack'


def test_a_pack_holds_the_same_bytes_labels_and_names(packed):
    examples, folder = packed
    found = _open(folder)
    assert found.class_names == examples.class_names
    np.testing.assert_array_equal(found.labels, examples.labels)
    assert found.records.read(range(COUNT)) == [_bytes(i) for i in range(COUNT)]
    assert found.name(7) == '7.jpg'
    assert len(list(folder.glob('shard-*.array_record'))) == 3


def test_batches_come_in_the_order_asked_for_also_of_subsets_and_elsewhere(packed):
    records = _open(packed[1]).records
    numbers = [24, 0, 13, 13, 9, 10]
    assert records.read(numbers) == [_bytes(i) for i in numbers]
    chosen = pickle.loads(pickle.dumps(records.subset(numbers)))
    assert len(chosen) == 6
    assert chosen.subset([2, 0]).read([1, 0]) == [_bytes(24), _bytes(13)]


def test_many_threads_may_read_at_once(packed):
    records = _open(packed[1]).records
    rng = np.random.default_rng(0)
    batches = [rng.integers(0, COUNT, 16) for _ in range(200)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for numbers, images in zip(batches, pool.map(records.read, batches), strict=True):
            assert images == [_bytes(i) for i in numbers]


def test_mode_pack_writes_every_split(tmp_path):
    for name in ('train/a/1.jpg', 'train/b/2.jpg', 'val/b/3.jpg'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    data = {'source': 'folder', 'root': str(tmp_path), 'shard_images': 1}
    pack.run(ml_collections.ConfigDict({'data': data}), tmp_path / 'run')
    splits = sources.load('packed', root=str(tmp_path / 'run' / 'packed'))
    assert splits.train.records.read([0, 1]) == [b'train/a/1.jpg', b'train/b/2.jpg']
    assert splits.validation.labels.tolist() == [1]
    assert splits.test is None
    assert splits.validation.records.read([0]) == [b'val/b/3.jpg']


def test_a_killed_packing_goes_on_where_it_was(tmp_path):
    """The process is killed in the third shard, where it waits at an image."""
    (tmp_path / 'images').mkdir()
    examples = _examples(tmp_path / 'images')
    folder = tmp_path / 'pack'
    waited_for = str(tmp_path / 'images' / '23.jpg')
    script = ('import numpy as np, pathlib, time, types, zlib\n'
              'from bsce_tf.catalogue import pack\n'
              'from bsce_tf.data.examples import Examples\n'
              f'image = pathlib.Path({waited_for!r}).read_bytes()\n'
              'def checksum(data):\n'
              '    return time.sleep(600) if data == image else zlib.crc32(data)\n'
              'pack.zlib = types.SimpleNamespace(crc32=checksum)\n'
              f'paths = np.array([f"{{i}}.jpg" for i in range({COUNT})], "S")\n'
              f'examples = Examples(np.arange({COUNT}) % 3, ("a", "b", "c"), paths=paths, '
              f'root={str(tmp_path / "images")!r})\n'
              f'pack.pack(examples, {str(folder)!r}, 10, progress=False)\n')
    process = subprocess.Popen([sys.executable, '-c', script])
    for _ in range(600):
        if list(folder.glob('.*shard-00002*')):
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    shards = sorted(folder.glob('shard-*.array_record'))
    assert len(shards) == 2
    assert not (folder / 'pack.json').exists()
    with pytest.raises(InputError, match='pack.json: No such file.*finished pack'):
        _open(folder)
    before = [path.stat().st_mtime_ns for path in shards]
    (folder / f'.{process.pid}.pack.json').write_text('{')  # as if killed at another moment
    _pack(examples, folder)
    assert [path.stat().st_mtime_ns for path in shards] == before
    assert not list(folder.glob('.*'))
    assert _open(folder).records.read(range(COUNT)) == [_bytes(i) for i in range(COUNT)]


def test_a_missing_image_stops_packing_and_is_named(tmp_path):
    examples = _examples(tmp_path)
    (tmp_path / '13.jpg').unlink()
    with pytest.raises(InputError, match='13.jpg: No such file'):
        _pack(examples, tmp_path / 'pack')
    assert len(list((tmp_path / 'pack').glob('shard-*.array_record'))) == 1


def test_a_folder_with_other_data_is_left_alone(packed):
    examples, folder = packed
    for other, size in ((examples.subset(np.arange(24)), 10), (examples, 5),
                        (examples.subset(np.arange(COUNT), labels=np.zeros(COUNT, int)), 10)):
        with pytest.raises(InputError, match='pack.json: a pack of other data'):
            _pack(other, folder, size)
    assert _open(folder).records.read([3]) == [_bytes(3)]


def test_an_image_that_was_replaced_under_its_name_is_other_data(packed, tmp_path):
    examples, folder = packed
    _pack(examples, folder)  # nothing to do
    (tmp_path / 'images' / '3.jpg').write_bytes(b'another image')
    with pytest.raises(InputError, match=r'other data or with other shards \(contents differ\)'):
        _pack(examples, folder)
    facts = json.loads((folder / 'pack.json').read_text())
    del facts['contents']  # a pack of an earlier version
    (folder / 'pack.json').write_text(json.dumps(facts))
    (folder / 'plan.json').unlink()
    _pack(examples, folder)
    (folder / 'pack.json').write_text('{"images": ')
    with pytest.raises(InputError, match='pack.json: damaged'):
        _pack(examples, folder)


def test_what_is_read_back_is_compared(tmp_path, monkeypatch):
    examples = _examples(tmp_path)
    real = packed_source.array_record_module()

    class Faulty(real.ArrayRecordWriter):
        def write(self, image):
            super().write(image[:-1] + b'\0' if image == _bytes(4) else image)

    class Module:
        ArrayRecordWriter = Faulty
        ArrayRecordReader = real.ArrayRecordReader
    monkeypatch.setattr(packed_source, 'array_record_module', lambda: Module)
    with pytest.raises(InputError, match='image 4 differs from its source'):
        _pack(examples, tmp_path / 'pack')
    assert not list((tmp_path / 'pack').glob('shard-*'))


def test_damage_is_found_when_it_is_read(packed):
    _, folder = packed
    shard = sorted(folder.glob('shard-*.array_record'))[1]
    data = shard.read_bytes()
    place = data.index(_bytes(12))
    shard.write_bytes(data[:place] + bytes(8) + data[place + 8:])
    with pytest.raises(InputError, match='shard-00001-of-00003.array_record: damaged'):
        _open(folder).records.read([12])
    shard.write_bytes(data[:100])
    with pytest.raises(InputError, match='0 images; expected 10'):
        _open(folder).records.read([12])
    shard.unlink()
    with pytest.raises(InputError, match='shard-00001-of-00003.array_record: no such file'):
        _open(folder).records.read([12])


def test_names_of_an_earlier_pack_are_read_and_damaged_ones_are_told(packed):
    _, folder = packed
    np.save(folder / 'names_ends.npy', np.arange(COUNT))
    with pytest.raises(InputError, match='damaged pack .names_ends.npy is not that of names.npy'):
        _open(folder)
    (folder / 'names_ends.npy').unlink()
    np.save(folder / 'names.npy', np.array([f'{i}.jpg' for i in range(COUNT)], 'S'))
    assert _open(folder).name(24) == '24.jpg'


def test_packs_with_other_classes_do_not_go_together(packed, tmp_path):
    examples, folder = packed
    other = Examples(examples.labels, ('a', 'x', 'c'), paths=examples.paths, root=examples.root)
    _pack(other, tmp_path / 'other')
    with pytest.raises(InputError, match="other: class 1 is 'x'; expected 'b'"):
        sources.load('packed', root=str(tmp_path), train='pack', validation='other')


def test_a_pack_with_wrong_counts_is_refused(packed):
    facts = json.loads((packed[1] / 'pack.json').read_text())
    (packed[1] / 'pack.json').write_text(json.dumps(facts | {'images': 26}))
    with pytest.raises(InputError, match='25 labels and 25 names; expected 26'):
        _open(packed[1])
    for text in ('{"images": 25}', '[25]', '{'):
        (packed[1] / 'pack.json').write_text(text)
        with pytest.raises(InputError, match='damaged pack'):
            _open(packed[1])
    (packed[1] / 'pack.json').write_text(json.dumps(facts))
    (packed[1] / 'names.npy').write_bytes(b'')
    with pytest.raises(InputError, match='damaged pack'):
        _open(packed[1])


def test_shards_hold_at_least_one_image(tmp_path):
    with pytest.raises(InputError, match='data.shard_images: found 0'):
        _pack(_examples(tmp_path), tmp_path / 'pack', 0)


def test_a_pack_brings_the_groups_of_its_source_and_splits_as_it(tmp_path, caplog):
    """Groups may be asked for later, without writing an image again."""
    for product in range(20):
        for view in range(2):
            path = tmp_path / 'data' / 'ab'[product % 2] / f'{product}_{view}.jpg'
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_bytes(2 * product + view))
    fields = {'source': 'folder', 'root': str(tmp_path / 'data'), 'train': '', 'shard_images': 16}

    def run(**more):
        pack.run(ml_collections.ConfigDict({'data': {**fields, **more}}), tmp_path / 'run')

    def sides(**more):
        return [part.name(i) for part in prepare.load(**more)[:2] for i in range(len(part))]

    place = {'source': 'packed', 'root': str(tmp_path / 'run' / 'packed')}
    run()
    assert sides(**place) == sides(source='folder', root=fields['root'])
    shard, = sorted((tmp_path / 'run').rglob('shard-00000*.array_record'))
    before = shard.stat().st_mtime_ns
    run(group_pattern=r'/(\d+)_')
    assert shard.stat().st_mtime_ns == before
    expected = sides(source='folder', root=fields['root'], group_pattern=r'/(\d+)_')
    assert sides(**place) == expected
    assert sides(**place, group_pattern=r'(\d)_') != expected
    groups = tmp_path / 'run' / 'packed' / 'train' / 'groups.npy'
    whole = np.load(groups)
    np.save(groups, whole[::-1])
    with pytest.raises(InputError, match='train: groups.npy is not that of pack.json'):
        sides(**place)
    run()
    assert not groups.exists()
    assert sides(**place) == sides(source='folder', root=fields['root'])
