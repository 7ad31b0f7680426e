import errno
import gc
import resource
import subprocess
import sys

import pytest

from bsce_tf.data.reading import handles


class Owner:
    pass


@pytest.fixture
def ten(monkeypatch):
    monkeypatch.setattr(resource, 'getrlimit', lambda _: (10, 10))
    return handles.Handles()


def test_the_last_used_half_stays_open(ten):
    owner, made = Owner(), []

    def get(key):
        return ten.get(owner, key, lambda: made.append(key) or key)
    for key in (0, 1, 2, 3, 4, 0, 5):
        assert get(key) == key
    assert made == [0, 1, 2, 3, 4, 5]
    get(0)
    assert len(made) == 6
    get(1)  # was dropped for 5
    assert made[6:] == [1]
    assert len(ten._open) == 5


def test_handles_go_with_their_owner(ten):
    one, other = Owner(), Owner()
    assert ten.get(one, 0, lambda: 'a') == 'a'
    assert ten.get(other, 0, lambda: 'b') == 'b'
    del one
    gc.collect()
    assert list(ten._open.values()) == ['b']
    assert len(ten._owners) == 1


def test_where_others_have_files_open_more_are_dropped(ten):
    owner, opened = Owner(), []

    def make():
        if len(ten._open) > 1:
            raise OSError(errno.EMFILE, 'too many')
        opened.append(1)
        return len(opened)
    for key in range(5):
        assert ten.get(owner, key, make) == key + 1
    ten._open.clear()

    def never():
        raise OSError(errno.EMFILE, 'too many')
    with pytest.raises(OSError, match='too many'):
        ten.get(owner, 9, never)


def test_more_shards_than_the_process_may_open_files(tmp_path):
    """In a process of its own, as its limit cannot be raised again."""
    script = f'''
import concurrent.futures, os, resource
import numpy as np
from bsce_tf.catalogue import pack
from bsce_tf.data import sources
from bsce_tf.data.examples import Examples
from bsce_tf.errors import InputError

root = {str(tmp_path)!r}
for i in range(120):
    with open(f'{{root}}/{{i}}.jpg', 'wb') as file:
        file.write(b'image %d' % i)
paths = np.array([f'{{i}}.jpg' for i in range(120)], 'S')
pack.pack(Examples(np.arange(120) % 2, 'ab', paths=paths, root=root), root + '/pack/train', 1,
          progress=False)
there = len(os.listdir('/proc/self/fd'))
resource.setrlimit(resource.RLIMIT_NOFILE, (there + 60, there + 60))
records = sources.load('packed', root=root + '/pack').train.records
parts = [np.random.default_rng(i).permutation(120) for i in range(16)]
with concurrent.futures.ThreadPoolExecutor(4) as pool:
    for numbers, images in zip(parts, pool.map(records.read, parts)):
        assert images == [b'image %d' % i for i in numbers]
assert len(os.listdir('/proc/self/fd')) < there + 60
others = []
try:
    while True:
        others.append(open(root + '/0.jpg', 'rb'))
except OSError:
    pass
assert records.read([7, 99]) == [b'image 7', b'image 99']
from bsce_tf.data.reading import handles
while True:
    handles.OPEN._open.clear()
    try:
        others.append(open(root + '/0.jpg', 'rb'))
    except OSError:
        break
try:
    records.read([3])
except InputError as error:
    print(error)
'''
    found = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True,
                           check=False)
    assert found.returncode == 0, found.stderr
    assert 'array_record: Too many open files (ulimit -n is' in found.stdout.splitlines()[-1]
