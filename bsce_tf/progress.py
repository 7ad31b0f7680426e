"""How far a long loop is: a bar on a terminal, lines where there is none."""

import time

from tqdm import tqdm

EVERY = 30  # seconds between lines where there is no terminal


class Bar:
    """How many of a number of things are done; use it as a context manager or `close` it.

    On a terminal it is a bar. Elsewhere, as in the log of a job, it is a line when it begins and
    one every 30 seconds.

    Args:
      title: what is done.
      total: number of things.
      unit: what one of them is called.
      done: how many were done before.
      shown: whether anything is shown.
      brief: for what comes again and again: no line when it begins, and the bar goes when it ends.
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
        """Says that so many more are done; `text` gives what to say beside it."""
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
