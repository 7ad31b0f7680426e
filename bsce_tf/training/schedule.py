"""The learning rate as a function of the step, and the plateau rule."""

import dataclasses
import math

from bsce_tf import fields, parts

NAMES = fields.choices('schedule.name')
_RATE = 'a learning rate, a finite number of at least 0'
_OWN = ('name', 'factor', 'milestones', 'final', 'warmup_steps', 'min_rate')


@dataclasses.dataclass(frozen=True)
class Schedule:
    """The learning rate of a stage: a pure function, so that a resumed run has the same rates.

    plateau: base · factor^drops, at least min_rate, see `plateau`. constant: base. cosine: half a
    cosine from base to base · final over the whole stage (Loshchilov and Hutter 2017, "SGDR",
    equation 5, without restarts). step: base · factor^m after m milestones. In the first
    `warmup_steps`, the rate is multiplied by (step + 1) / warmup_steps (Goyal et al. 2017, section
    2.2).

    Ranges and defaults are those of the fields of `config.schedule`.

    Attributes:
      name: one of `NAMES`, or 'module:function', see `parts`.
      base: initial rate, `optimizer.learning_rate`.
      steps: number of steps of the whole stage.
      epoch_steps: number of steps of an epoch.
      factor: of plateau and step.
      milestones: epochs after which `step` multiplies by the factor.
      final: of cosine.
      warmup_steps: see above.
      min_rate: of plateau.

    Raises:
      InputError: if one is out of its range.
    """

    name: str
    base: float
    steps: int
    epoch_steps: int
    factor: float = fields.default('schedule.factor')
    milestones: tuple = fields.default('schedule.milestones')
    final: float = fields.default('schedule.final')
    warmup_steps: int = fields.default('schedule.warmup_steps')
    min_rate: float = fields.default('schedule.min_rate')

    def __post_init__(self):
        """Checks the ranges."""
        fields.check('optimizer.learning_rate', self.base)
        for name in _OWN:
            fields.check(f'schedule.{name}', getattr(self, name))

    def rate(self, step, drops=0):
        """The rate at step 0, 1, … of the stage; `drops`: number of plateaus so far."""
        rate = self.base
        if self.name == 'plateau':
            rate = max(rate * self.factor**drops, self.min_rate)
        elif self.name == 'step':
            epoch = step // self.epoch_steps
            rate *= self.factor ** sum(epoch >= milestone for milestone in self.milestones)
        elif self.name == 'cosine':
            part = (1 + math.cos(math.pi * min(step / self.steps, 1))) / 2
            rate *= self.final + (1 - self.final) * part
        elif parts.is_part(self.name):
            rate = _own_rate(self.name, step, self.steps, self.epoch_steps, self.base)
        return rate * min((step + 1) / self.warmup_steps, 1) if self.warmup_steps else rate


def _own_rate(name, *arguments):
    """The rate of a user's own schedule. Raises InputError if it gives none."""
    field = 'schedule.name'
    found = parts.called(field, name, parts.load(field, name), *arguments)
    try:
        rate = float(found)
    except Exception as error:  # `found` may be of any class
        raise parts.unfit(field, name, type(found).__name__, _RATE) from error
    if not 0 <= rate < math.inf:
        raise parts.unfit(field, name, f'{rate} at step {arguments[0]}', _RATE)
    return rate


def of(config, epoch_steps):
    """The `Schedule` of a stage.

    Args:
      config: ConfigDict of the stage.
      epoch_steps: steps of an epoch.
    """
    own = {name: config.schedule[name] for name in _OWN}
    return Schedule(base=config.optimizer.learning_rate, steps=config.epochs * epoch_steps,
                    epoch_steps=epoch_steps, **own)


def plateau(state, error, patience, min_delta=0.0):
    """Counts the epochs without a new lowest error; after `patience` of them, the rate drops.

    Args:
      state: `State`; its `lowest`, `wait`, `drops` and `stale` are updated.
      error: validation error of this epoch.
      patience: at least 1.
      min_delta: how far an error must be below the lowest to replace it; 0 or more.
    """
    if error < state.lowest - min_delta:
        state.lowest, state.wait, state.stale = error, 0, 0
        return
    state.stale += 1
    state.wait += 1
    if state.wait >= patience:
        state.wait = 0
        state.drops += 1
