"""Folders that are made once in a test run, though several processes run the tests."""

import fcntl
import shutil


def made(tmp_path_factory, name, make):
    """A copy, for this process, of the folder that `make(folder)` fills once.

    Args:
      tmp_path_factory: pytest's.
      name: of the folder, unlike that of any other.
      make: function of the pathlib.Path of an empty folder.
    """
    base = tmp_path_factory.getbasetemp()
    base = base.parent if base.name.startswith('popen-gw') else base  # of a process of xdist
    place, done = base / 'shared' / name, base / 'shared' / f'{name}.done'
    place.parent.mkdir(exist_ok=True)
    with open(f'{place}.lock', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            make(place)
            done.touch()
    return shutil.copytree(place, tmp_path_factory.mktemp(name) / name)
