"""What looks on while a run trains."""


class Observer:
    """Told by `loop.Loop` what happens. Every method does nothing unless it is written anew.

    Attributes:
      stopped: whether it asks to end the stage after the epoch.
    """

    stopped = False

    def on_begin(self, state):
        """Before the first step of a stage, or of what is left of it.

        Args:
          state: a `State`.
        """

    def on_first_batch(self, stage, images):
        """Before the first step of a stage, where the run did not stop in it before.

        Args:
          stage: its number.
          images: uint8 `[n, C, C, channels]`, those of the first replica.
        """

    def on_step(self, state, loss, images, waited):
        """After every step.

        Args:
          state: a `State`.
          loss: mean of the batch.
          images: in the batch.
          waited: seconds until the batch was there.
        """

    def on_evaluated_batch(self, number):
        """After every batch of an evaluation; `number`: of the batch, from 1."""

    def on_epoch(self, row, correct, total):
        """After every epoch.

        Args:
          row: of metrics.csv.
          correct, total: `[K]` validation images of each class that were right, and all.
        """

    def close(self, kind=None, error=None, traceback=None):
        """After the stage; what a context manager's `__exit__` is told where it failed."""
