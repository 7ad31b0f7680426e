import concurrent.futures
import io
import pickle
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import PIL.Image
import pytest

from bsce_tf.catalogue import pack
from bsce_tf.data import prepare, sources
from bsce_tf.data.examples import Examples
from bsce_tf.data.reading import parallel, records
from bsce_tf.errors import InputError
from tests.catalogue import packs
from tests.data.pictures import encoded, picture


def test_a_pack_holds_the_same_bytes_labels_and_names(packed):
    examples, folder = packed
    found = packs.opened(folder)
    assert found.class_names == examples.class_names
    np.testing.assert_array_equal(found.labels, examples.labels)
    assert found.records.read(range(packs.COUNT)) == packs.all_data()
    assert found.name(7) == '7.jpg'
    assert len(list(folder.glob('shard-*.array_record'))) == 3


def test_batches_come_in_the_order_asked_for_also_of_subsets_and_elsewhere(packed):
    records = packs.opened(packed[1]).records
    numbers = [24, 0, 13, 13, 9, 10]
    assert records.read(numbers) == [packs.data_of(i) for i in numbers]
    chosen = pickle.loads(pickle.dumps(records.subset(numbers)))
    assert len(chosen) == 6
    assert chosen.subset([2, 0]).read([1, 0]) == [packs.data_of(24), packs.data_of(13)]


def test_many_threads_may_read_at_once(packed):
    records = packs.opened(packed[1]).records
    rng = np.random.default_rng(0)
    batches = [rng.integers(0, packs.COUNT, 16) for _ in range(200)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for numbers, images in zip(batches, pool.map(records.read, batches), strict=True):
            assert images == [packs.data_of(i) for i in numbers]


def test_mode_pack_writes_every_split(tmp_path):
    for name in ('train/a/1.jpg', 'train/b/2.jpg', 'val/b/3.jpg'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    pack.run(packs.settings(tmp_path, shard_images=1), tmp_path / 'run')
    splits = sources.load('packed', root=str(tmp_path / 'run' / 'packed'))
    assert splits.train.records.read([0, 1]) == [b'train/a/1.jpg', b'train/b/2.jpg']
    assert splits.validation.labels.tolist() == [1]
    assert splits.test is None
    assert splits.validation.records.read([0]) == [b'val/b/3.jpg']


def test_a_killed_packing_goes_on_where_it_was(tmp_path):
    """The process is killed in the third shard, where it waits at an image."""
    examples = packs.examples_in(tmp_path / 'images')
    folder = tmp_path / 'pack'
    waited_for = str(tmp_path / 'images' / '23.jpg')
    script = ('import numpy as np, pathlib, time, types, zlib\n'
              'from bsce_tf.catalogue import pack, shards\n'
              'from bsce_tf.data.examples import Examples\n'
              f'image = pathlib.Path({waited_for!r}).read_bytes()\n'
              'def checksum(data):\n'
              '    return time.sleep(600) if data == image else zlib.crc32(data)\n'
              'shards.zlib = types.SimpleNamespace(crc32=checksum)\n'
              f'paths = np.array([f"{{i}}.jpg" for i in range({packs.COUNT})], "S")\n'
              f'examples = Examples(np.arange({packs.COUNT}) % 3, ("a", "b", "c"), paths=paths, '
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
        packs.opened(folder)
    before = [path.stat().st_mtime_ns for path in shards]
    (folder / f'.{process.pid}.pack.json').write_text('{')  # as if killed at another moment
    packs.write(examples, folder)
    assert [path.stat().st_mtime_ns for path in shards] == before
    assert not list(folder.glob('.*'))
    assert packs.opened(folder).records.read(range(packs.COUNT)) == packs.all_data()


def test_a_pack_brings_the_groups_of_its_source_and_splits_as_it(tmp_path, caplog):
    """Groups may be asked for later, without writing an image again."""
    for product in range(20):
        for view in range(2):
            path = tmp_path / 'data' / 'ab'[product % 2] / f'{product}_{view}.jpg'
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(packs.data_of(2 * product + view))
    root = tmp_path / 'data'

    def run(**more):
        pack.run(packs.settings(root, shard_images=16, **more), tmp_path / 'run')

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
            return [packs.data_of(int(number)) for number in numbers]

    names = np.array([b'%d' % i for i in range(packs.COUNT)])
    examples = Examples(np.arange(packs.COUNT) % 3, 'abc', records=records.Records(Store(), names))
    examples.__dict__['storage'] = parallel.Storage(20, 1000)
    monkeypatch.setattr(records, 'contents', lambda examples: '')  # it has other readers
    packs.write(examples, tmp_path / 'pack', packs.COUNT)
    assert packs.opened(tmp_path / 'pack').records.read(range(packs.COUNT)) == packs.all_data()


def test_mode_pack_shrinks_and_tells_what_it_left_out(tmp_path, capsys):
    for name, size in (('a/large.jpg', 90), ('a/small.jpg', 20), ('b/c.jpg', 30)):
        (tmp_path / 'data' / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / 'data' / name).write_bytes(encoded(picture(size, 2 * size)))
    small = (tmp_path / 'data' / 'a' / 'small.jpg').read_bytes()
    (tmp_path / 'data' / 'b' / 'page.jpg').write_bytes(b'<html>')
    with pytest.raises(InputError, match='page.jpg: not an image but an HTML page'):
        pack.run(packs.settings(tmp_path / 'data', 24), tmp_path / 'stopped')
    config = packs.settings(tmp_path / 'data', 24, on_error='skip', max_bad_fraction=0.3)
    pack.run(config, tmp_path / 'run')
    found = packs.opened(tmp_path / 'run' / 'packed' / 'train')
    images = found.records.read(range(3))
    assert [PIL.Image.open(io.BytesIO(image)).size for image in images] == [
        (48, 24), (40, 20), (48, 24)]
    assert images[1] == small
    assert 'train: 3 images' in capsys.readouterr().out
    assert 'HTML page' in (tmp_path / 'run' / 'packed' / 'train' / pack.BAD_IMAGES).read_text()
    config.pack.side = 0
    with pytest.raises(InputError, match=r'other data or with other shards \(shrunk differ\)'):
        pack.run(config, tmp_path / 'run')
    pack.run(config, tmp_path / 'whole')
    whole = packs.opened(tmp_path / 'whole' / 'packed' / 'train')
    assert len(whole) == 4  # training, not packing, finds what does not decode
    assert whole.records.read([1]) == [small]
