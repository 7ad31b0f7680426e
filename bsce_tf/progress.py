"""Progress of a long loop: a bar on a terminal, lines elsewhere."""

import time

from tqdm import tqdm

EVERY = 30  # seconds between lines where there is no terminal


class Bar:
    """Shows how many items are done; use it as a context manager or `close` it.

    On a terminal it is a bar. Elsewhere, such as in the log of a job, it prints a line at the start
    and one every 30 seconds.

    Args:
      title: what is done.
      total: number of items.
      unit: name of one item.
      done: items that were done before.
      shown: whether to show anything.
      brief: for loops that recur: prints no line at the start, and removes the bar at the end.
    """

    def __init__(self, title, total, unit='image', done=0, shown=True, brief=False):
        self.total, self.done = total, done
        self._title, self._unit, self._shown = title, unit, shown
        self._bar = tqdm(total=total, initial=done, unit=unit, desc=title, leave=not brief,
                         smoothing=0.05, disable=None if shown else True)
        self._line = time.perf_counter()
        if self._bar.disable and shown and not brief:
            before = f', {done:,} of them done before' if done else ''
            print(f'{title}: {total:,} {unit}{"s" if total != 1 else ""}{before}', flush=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def update(self, number=1, text=lambda: ''):
        """Counts `number` more items; `text` returns what to show beside the count."""
        self.done += number
        self._bar.update(number)
        if not self._bar.disable:
            self._bar.set_postfix_str(text(), refresh=False)
        elif self._shown and time.perf_counter() - self._line >= EVERY:
            self._line = time.perf_counter()
            print(', '.join(filter(None, (
                f'{self._title}: {self._unit} {self.done:,} of {self.total:,}', text()))),
                flush=True)

    def close(self):
        """Ends the bar."""
        self._bar.close()
