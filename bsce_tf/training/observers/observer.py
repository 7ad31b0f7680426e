"""The base class of observers."""


class Observer:
    """`loop.Loop` calls these methods. They do nothing unless a subclass overrides them.

    Attributes:
      stopped: whether the observer asks to end the stage after the epoch.
    """

    stopped = False

    def on_begin(self, state):
        """Before the first step of a stage, or of the rest of it after resuming.

        Args:
          state: a `State`.
        """

    def on_first_batch(self, stage, images):
        """Before the first step of a stage; not called when a run resumes within the stage.

        Args:
          stage: number of the stage, from 0.
          images: uint8 `[n, size, size, channels]` of the first replica.
        """

    def on_step(self, state, loss, images, waited):
        """After every step.

        Args:
          state: a `State`.
          loss: mean loss of the batch.
          images: number of images in the batch.
          waited: seconds that the step waited for the batch.
        """

    def on_evaluated_batch(self, number):
        """After every batch of an evaluation; `number` counts the batches from 1."""

    def on_epoch(self, row, correct, total):
        """After every epoch.

        Args:
          row: dict, the epoch's row of metrics.csv.
          correct, total: `[K]`, correctly classified and all validation images of each class.
        """

    def close(self, kind=None, error=None, traceback=None):
        """After the stage, also if it failed; arguments as those of `__exit__`."""
