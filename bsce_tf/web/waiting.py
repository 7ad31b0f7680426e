"""Serves a page until it is stopped."""

import time

from bsce_tf.termination import Terminated

_POLL = 0.2  # seconds between two looks for a signal


def until_stopped(serving, words):
    """Serves until Ctrl-C or SIGTERM.

    Args:
      serving: context manager that gives the address of the page.
      words: to print below the address.
    """
    with Terminated() as terminated, serving as address:
        print(f'{address}\nThe page is open to this machine alone. {words}', flush=True)
        while not terminated():
            time.sleep(_POLL)
