"""What may differ when a run goes on: every field by what the table says of it."""

import datetime
import json
import math
from typing import NamedTuple

from ml_collections import config_dict

from bsce_tf import fields, files
from bsce_tf.errors import InputError
from bsce_tf.fields import stored
from bsce_tf.training import stages, workdir

HISTORY = 'config_history.json'
_ENDLESS = ('plateau', 'constant', 'step')  # rates that do not depend on the last epoch
_ADVICE = 'to train on, add a stage to config.stages: it begins with the best weights'


class Plan(NamedTuple):
    """How a run goes on.

    Attributes:
      config: ConfigDict to go on with.
      changes: {dotted name: (value before, value from now on)}.
      step: steps done of the run.
    """

    config: config_dict.ConfigDict
    changes: dict
    step: int


def plan(folder, config, state=None, fixed=fields.OF_RUN):
    """How the run in a folder goes on with a config.

    A field that the run's version did not have keeps its meaning of then, as long as the config
    has the default.

    Args:
      folder: pathlib.Path.
      config: ConfigDict with all fields.
      state: the `State` of a run; None where no stage and step tells what was done.
      fixed: which fields must not differ, see `fields.field`.

    Returns:
      `Plan`.

    Raises:
      InputError: that names every field which must not differ, what was found and expected.
    """
    path = folder / workdir.CONFIG
    if not path.exists():
        return Plan(config, {}, 0)
    written = workdir.json_of(path)
    there = stored.flat(stored.complete(written, path))
    here = stored.flat(stored.tuples(config.to_dict()))
    known = stored.flat(written).keys()
    for name, field in fields.TABLE.items():
        earlier = name not in known or stored.version(written) < fields.VERSION
        if earlier and there[name] == field.before and here.get(name) == field.default:
            here[name] = there[name]
    changes = {name: (there.get(name), value) for name, value in here.items()
               if there.get(name) != value}
    before, now = (config_dict.ConfigDict(stored.nested(values)) for values in (there, here))
    reasons = [*_differing(changes, fixed)] if state is None else [*_undone(before, now, state)]
    if reasons:
        raise InputError(f'--workdir: {folder} holds another run: {"; ".join(reasons)}. Expected '
                         'another --workdir, or the same values.')
    return Plan(now, changes, state.total if state else 0)


def claim(folder, plan):
    """Makes `folder` that of the run: config.json is there, half-written files are gone.

    Changes of a run that goes on are added to config_history.json: when, at which step, and of each
    field what it was and what it is from then on.

    Args:
      folder: pathlib.Path, see `workdir.check`.
      plan: of `plan`.

    Raises:
      InputError: if the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for place in (folder, folder / workdir.CHECKPOINTS):
            files.remove_leftovers(place)
        path, wanted = folder / workdir.CONFIG, stored.packed(plan.config.to_dict())
        if not path.exists() or workdir.json_of(path) != json.loads(json.dumps(wanted)):
            if plan.changes:
                _note(folder, plan)
            files.write_json(path, wanted)
    except OSError as error:
        raise workdir.unusable(folder, error) from error


def _note(folder, plan):
    path = folder / HISTORY
    history = json.loads(path.read_text(encoding='utf-8')) if path.exists() else []
    history.append({
        'time': datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds'),
        'step': plan.step,
        'changes': {name: {'from': before, 'to': now}
                    for name, (before, now) in plan.changes.items()}})
    files.write_json(path, history)
    told = ', '.join(f'{name} {before!r} → {now!r}'
                     for name, (before, now) in plan.changes.items())
    print(f'{folder}: goes on with {told} (noted in {HISTORY})', flush=True)


def _differing(changes, fixed):
    """Yields what is wrong with changes where no field of some kinds may differ."""
    for name, (before, now) in changes.items():
        if name in fields.TABLE and fields.TABLE[name].resume in fixed:
            yield _told(name, before, now)


def _undone(before, now, state):
    """Yields what is wrong with changes of a run: they would undo what its state has done."""
    parts, wanted = stages.resolve(before), stages.resolve(now)
    if len(wanted) <= state.stage:
        yield (f'stages has {len(parts)} there, of which {state.stage + 1} were begun, and '
               f'{len(wanted)} now')
        return
    told = set()
    for number in range(state.stage + 1):
        there, here = (stored.flat(part.to_dict()) for part in (parts[number], wanted[number]))
        for name, field in fields.TABLE.items():
            if name in told or name == 'stages' or field.resume not in fields.OF_RUN or (
                    there[name] == here[name]):
                continue
            reason = _BOUNDS[name](there, here, number, state) if name in _BOUNDS else ''
            if reason is not None:
                told.add(name)
                yield (f'{f"stage {number}: " if len(wanted) > 1 else ""}'
                       f'{_told(name, there[name], here[name])}{reason}')


def _told(name, before, now):
    return f'{name} is {before!r} there and {now!r} now'


def _epochs(there, here, number, state):
    """Why a stage cannot have other epochs; None if it can."""
    before, now = there['epochs'], here['epochs']
    begun = state.epoch + (state.step > 0)
    if number < state.stage:
        return ', and the stage is done'
    if now < begun:
        return f', and {begun} were begun'
    name = there['schedule.name']
    if begun and name not in _ENDLESS:
        return f', and with schedule.name = {name} every rate so far depends on it ({_ADVICE})'
    swa = there['averaging.swa_epochs']
    if swa and state.epoch > min(before, now) - swa:
        return f', and averaging.swa_epochs = {swa} has begun or would have begun ({_ADVICE})'
    return None


def _select(there, here, number, state):
    """Why other weights cannot be selected; None if no later stage began with them."""
    return f', and stage {state.stage} began with what it chose' if state.stage else None


def _max_pixels(there, here, number, state):
    """Why there cannot be another limit; None if no image has met the one before."""
    before, now = (values['data.max_pixels'] or math.inf for values in (there, here))
    if there['data.on_error'] == 'stop' and now >= before:
        return None
    return ', and images may have been left out by it'


_BOUNDS = {'epochs': _epochs, 'averaging.select': _select, 'data.max_pixels': _max_pixels}
