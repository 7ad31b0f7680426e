"""Work in parts: `part=3/10` does the third of ten, wherever; the process that ends last joins all.

Each part is a process of its own, on any machine that sees the same folder, such as a task of a
Slurm array. What the parts make is, byte for byte, what one process makes on such a machine. The
folder lies in a bucket, see `remote.shared`, or on a file system whose locks work between the
machines, see `locks`.
"""

import contextlib
import os
import re
from typing import NamedTuple

from bsce_tf import files, locks
from bsce_tf.errors import InUseError


class Division(NamedTuple):
    """Part `number` of `count`, 1 to `count`."""

    number: int
    count: int

    @property
    def whole(self):
        """Whether there is only one part."""
        return self.count == 1

    @property
    def name(self):
        """Such as part-3-of-10, for files."""
        return f'part-{self.number}-of-{self.count}'

    @property
    def all(self):
        """All parts, in order."""
        return [Division(number, self.count) for number in range(1, self.count + 1)]

    def span(self, total, step=1):
        """(first, end): which of the numbers 0 … `total` − 1 this part has, in whole steps.

        With more parts than steps, some parts have none: `first` is then `end`.
        """
        steps = -(-total // step)
        first, end = (steps * number // self.count for number in (self.number - 1, self.number))
        return min(first * step, total), min(end * step, total)

    @contextlib.contextmanager
    def held(self, folder, lock=locks.NAME, what='--workdir'):
        """Locks a part of the work in a folder, so that neither it nor the whole is done by others.

        Args:
          folder, lock, what: as `locks.held` takes them; `lock` is the name for the whole.
        """
        with contextlib.ExitStack() as stack:
            stack.enter_context(locks.held(folder, lock, what, shared=not self.whole))
            if not self.whole:
                stack.enter_context(locks.held(folder, f'.{self.name}{lock}', what))
            yield

    def file(self, path):
        """The file of this part beside `path`, a pathlib.Path: NAME.part-3-of-10.csv of NAME.csv.
        """
        return path if self.whole else path.with_name(f'{path.stem}.{self.name}{path.suffix}')


WHOLE = Division(1, 1)

_OF_PART = re.compile(r'[._]part-\d+-of-\d+[._]')

# {'folder: name': whether all parts are joined} of all that this process has made parts of. It
# tells those who start parts whether the work is done.
joined = {}


def is_of_part(path):
    """Whether the name of a file says that it is of one part."""
    return bool(_OF_PART.search(os.path.basename(path)))


def key(folder, name):
    """That of `joined`, the same in all processes that share a folder."""
    return f'{files.address(folder)}: {name}'


def join(folder, name, made, function):
    """Calls `function` if all parts are made, and no other process does so now.

    Args:
      folder: pathlib.Path, where the parts lie.
      name: of what is joined, for its lock.
      made: function that returns an iterable of bool: whether each part is there. It is asked again
        under the lock.
      function: without arguments.
    """
    place, mirror = key(folder, name), files.mirror_of(folder)
    joined[place] = False
    files.refresh(folder)
    missing = [number for number, there in enumerate(made(), 1) if not there]
    if missing:
        some = ', '.join(map(str, missing[:10])) + ', …' * (len(missing) > 10)
        print(f'{folder}: this part is done. Not done yet: {some}. The part that ends last joins '
              'them.')
        return
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(mirror.joining(folder, name) if mirror else locks.held(
                folder, f'.join-{name}.lock'))
        except InUseError:
            print(f'{folder}: all parts are done, and another process joins them. If no result '
                  'appears, start any part once more.')
            return
        files.refresh(folder)
        if all(made()):
            function()
            joined[place] = True


def of(text):
    """The `Division` of the field `part`, i/n; '' is the whole."""
    return Division(*map(int, text.split('/'))) if text else WHOLE
