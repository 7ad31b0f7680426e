import concurrent.futures
import io
import json
import pickle
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import PIL.Image
import pytest

from bsce_tf import recipes
from bsce_tf.catalogue import pack, shards
from bsce_tf.data import prepare, sources
from bsce_tf.data.bad_images import BadImages
from bsce_tf.data.examples import Examples
from bsce_tf.data.reading import parallel, records
from bsce_tf.data.sources import packed as packed_source
from bsce_tf.errors import InputError
from tests.data.pictures import encoded, picture

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


def _config(root, pack_side=0, **data):
    config = recipes.defaults()
    config.data.update({'source': 'folder', 'root': str(root), 'cache': 'off', **data})
    config.pack.side = pack_side
    return config


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
    pack.run(_config(tmp_path, shard_images=1), tmp_path / 'run')
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
              'from bsce_tf.catalogue import pack, shards\n'
              'from bsce_tf.data.examples import Examples\n'
              f'image = pathlib.Path({waited_for!r}).read_bytes()\n'
              'def checksum(data):\n'
              '    return time.sleep(600) if data == image else zlib.crc32(data)\n'
              'shards.zlib = types.SimpleNamespace(crc32=checksum)\n'
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
    (packed[1] / 'pack.json').write_text(json.dumps(facts | {'packed': 26}))
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
    root = tmp_path / 'data'

    def run(**more):
        pack.run(_config(root, shard_images=16, **more), tmp_path / 'run')

    def sides(**more):
        return [part.name(i) for part in prepare.load(**more)[:2] for i in range(len(part))]

    place = {'source': 'packed', 'root': str(tmp_path / 'run' / 'packed')}
    run()
    assert sides(**place) == sides(source='folder', root=str(root))
    shard, = sorted((tmp_path / 'run').rglob('shard-00000*.array_record'))
    before = shard.stat().st_mtime_ns
    run(group_pattern=r'/(\d+)_')
    assert shard.stat().st_mtime_ns == before
    expected = sides(source='folder', root=str(root), group_pattern=r'/(\d+)_')
    assert sides(**place) == expected
    assert sides(**place, group_pattern=r'(\d)_') != expected
    groups = tmp_path / 'run' / 'packed' / 'train' / 'groups.npy'
    whole = np.load(groups)
    np.save(groups, whole[::-1])
    with pytest.raises(InputError, match='train: groups.npy is not that of pack.json'):
        sides(**place)
    run()
    assert not groups.exists()
    assert sides(**place) == sides(source='folder', root=str(root))


def _skipping(folder, fraction=0.5):
    folder.mkdir(exist_ok=True)
    return BadImages('skip', fraction, report=folder / pack.BAD_IMAGES)


def test_bad_images_are_left_out_and_listed(tmp_path):
    """Of the first shard two images, of the second all, of the last one none."""
    (tmp_path / 'images').mkdir()
    whole = _examples(tmp_path / 'images')
    whole = Examples(whole.labels, whole.class_names, paths=whole.paths, root=whole.root,
                     groups=np.array([b'g%d' % (i // 2) for i in range(COUNT)]))
    gone = [0, 7, *range(10, 20)]
    for i in gone:
        (tmp_path / 'images' / f'{i}.jpg').unlink()
    folder = tmp_path / 'pack'
    told = pack.pack(whole, folder, 10, progress=False, bad=_skipping(folder))
    kept = np.setdiff1d(np.arange(COUNT), gone)
    found = _open(folder)
    assert told['packed'] == len(found) == len(kept)
    assert found.labels.tolist() == whole.labels[kept].tolist()
    assert [found.name(i) for i in range(len(kept))] == [f'{i}.jpg' for i in kept]
    assert found.groups[:].tolist() == whole.groups[kept].tolist()
    assert found.records.read(np.arange(len(kept))[::-1]) == [_bytes(i) for i in kept[::-1]]
    rows = (folder / pack.BAD_IMAGES).read_text().splitlines()
    assert [row.split(',')[0] for row in rows] == ['path', *(f'{i}.jpg' for i in gone)]
    assert 'No such file' in rows[1]
    assert pack.pack(whole, folder, 10, progress=False, bad=_skipping(folder)) == told


def test_bad_images_of_an_earlier_start_count_too(tmp_path, monkeypatch):
    (tmp_path / 'images').mkdir()
    examples = _examples(tmp_path / 'images')
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
        pack.pack(examples, folder, 10, progress=False, bad=_skipping(folder, 3 / COUNT))
    monkeypatch.undo()
    with pytest.raises(InputError, match='found 4 bad images of 25; expected at most'):
        pack.pack(examples, folder, 10, progress=False, bad=_skipping(folder, 3 / COUNT))
    told = pack.pack(examples, folder, 10, progress=False, bad=_skipping(folder, 4 / COUNT))
    assert told['packed'] == 21


def test_a_set_of_bad_images_alone_is_refused(tmp_path):
    examples = _examples(tmp_path)
    for path in tmp_path.glob('*.jpg'):
        path.unlink()
    with pytest.raises(InputError, match='no image of data could be packed'):
        pack.pack(examples, tmp_path / 'pack', progress=False, bad=_skipping(tmp_path / 'pack', 1))


def test_images_are_read_many_at_a_time_and_written_in_order(tmp_path, monkeypatch):
    class Store:
        def __init__(self):
            self.under_way, self.changed = set(), threading.Condition()

        def read(self, numbers):
            with self.changed:
                self.under_way.update(numbers.tolist())
                self.changed.notify_all()
                assert self.changed.wait_for(lambda: len(self.under_way) >= 20, timeout=20)
            time.sleep(0.001 * (7 * int(numbers[0]) % 5))
            return [_bytes(int(number)) for number in numbers]

    names = np.array([b'%d' % i for i in range(COUNT)])
    examples = Examples(np.arange(COUNT) % 3, 'abc', records=records.Records(Store(), names))
    examples.__dict__['storage'] = parallel.Storage(20, 1000)
    monkeypatch.setattr(records, 'contents', lambda examples: '')  # it has other readers
    _pack(examples, tmp_path / 'pack', COUNT)
    assert _open(tmp_path / 'pack').records.read(range(COUNT)) == [_bytes(i) for i in range(COUNT)]


def test_mode_pack_shrinks_and_tells_what_it_left_out(tmp_path, capsys, caplog):
    for name, size in (('a/large.jpg', 90), ('a/small.jpg', 20), ('b/c.jpg', 30)):
        (tmp_path / 'data' / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / 'data' / name).write_bytes(encoded(picture(size, 2 * size)))
    small = (tmp_path / 'data' / 'a' / 'small.jpg').read_bytes()
    (tmp_path / 'data' / 'b' / 'page.jpg').write_bytes(b'<html>')
    with pytest.raises(InputError, match='page.jpg: not an image but an HTML page'):
        pack.run(_config(tmp_path / 'data', 24), tmp_path / 'stopped')
    config = _config(tmp_path / 'data', 24, on_error='skip', max_bad_fraction=0.3)
    pack.run(config, tmp_path / 'run')
    found = _open(tmp_path / 'run' / 'packed' / 'train')
    images = found.records.read(range(3))
    assert [PIL.Image.open(io.BytesIO(image)).size for image in images] == [
        (48, 24), (40, 20), (48, 24)]
    assert images[1] == small
    assert 'train: 3 images' in capsys.readouterr().out
    assert 'HTML page' in (tmp_path / 'run' / 'packed' / 'train' / pack.BAD_IMAGES).read_text()
    config.pack.side = 0
    with pytest.raises(InputError, match=r'other data or with other shards \(shrunk differ\)'):
        pack.run(config, tmp_path / 'run')
    config.pack.quality = 50
    pack.run(config, tmp_path / 'whole')
    assert 'pack.quality: found 50, which has no effect' in caplog.text
    whole = _open(tmp_path / 'whole' / 'packed' / 'train')
    assert len(whole) == 4  # training, not packing, finds what does not decode
    assert whole.records.read([1]) == [small]
