"""Work in parts: `part=3/10` does the third of ten, wherever; the process that ends last joins all.

Each part is a process of its own, on any machine that sees the same folder, such as a task of a
Slurm array. What the parts make is, byte for byte, what one process makes.
"""

from typing import NamedTuple

from bsce_tf import locks
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

    def lock(self, name=locks.NAME):
        """Name of the lock of this part; `name` is that of the whole."""
        return name if self.whole else f'.{self.name}{name}'

    def file(self, path):
        """The file of this part beside `path`, a pathlib.Path: NAME.part-3-of-10.csv of NAME.csv.
        """
        return path if self.whole else path.with_name(f'{path.stem}.{self.name}{path.suffix}')


WHOLE = Division(1, 1)


def join(folder, lock, what, made, function):
    """Calls `function` if all parts are made, and no other process does so now.

    Args:
      folder: pathlib.Path, where the parts lie.
      lock: name of the lock of the whole, see `locks.held`.
      what: the flag or field that names the folder.
      made: function that returns a list of bool: whether each part is there. It is asked again
        under the lock.
      function: without arguments.
    """
    missing = [number for number, there in enumerate(made(), 1) if not there]
    if missing:
        some = ', '.join(map(str, missing[:10])) + ', …' * (len(missing) > 10)
        print(f'{folder}: this part is done; {len(missing)} others are not ({some}). The last one '
              'to end joins them.')
        return
    try:
        with locks.held(folder, lock, what):
            if all(made()):
                function()
    except InUseError:
        print(f'{folder}: all parts are done; another process joins them.')


def of(text):
    """The `Division` of the field `part`, i/n; '' is the whole."""
    return Division(*map(int, text.split('/'))) if text else WHOLE
