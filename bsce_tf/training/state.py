"""The position of a run: all that a resumed run needs besides the values of its variables."""

import dataclasses
import math


@dataclasses.dataclass
class State:
    """Plain values, saved with every checkpoint.

    Attributes:
      stage: number of the stage, from 0.
      epoch: epochs done of this stage.
      step: steps done of this epoch.
      total: steps done of the run.
      lowest, wait, drops: of `schedule.plateau`, for this stage.
      stale: epochs since the last new lowest error of this stage.
      best: {kind of weights: {'error', 'stage', 'epoch'}}, see `workdir.KINDS`.
      averaged: epochs in the SWA average of this stage.
      rows: of metrics.csv.
      stopped: whether a callback ended this stage.
    """

    stage: int = 0
    epoch: int = 0
    step: int = 0
    total: int = 0
    lowest: float = math.inf
    wait: int = 0
    drops: int = 0
    best: dict = dataclasses.field(default_factory=dict)
    averaged: int = 0
    stale: int = 0
    rows: list = dataclasses.field(default_factory=list)
    stopped: bool = False

    def ended(self, config):
        """Whether the stage of a ConfigDict is over.

        It ends after its last epoch, after `schedule.stop_patience` epochs without a new lowest
        error, or at the request of a callback.
        """
        patience = config.schedule.stop_patience
        return self.stopped or self.epoch >= config.epochs or 0 < patience <= self.stale

    def next_stage(self):
        """Goes to the beginning of the next stage."""
        self.stage += 1
        self.epoch = self.step = self.wait = self.drops = self.averaged = self.stale = 0
        self.lowest, self.stopped = math.inf, False
