"""Which fields of the config may change when a run is resumed; `fields.TABLE` says it of each."""

import datetime
import json
import math
from typing import NamedTuple

from ml_collections import config_dict

from bsce_tf import division, fields, files
from bsce_tf.errors import InputError
from bsce_tf.fields import stored
from bsce_tf.training import stages, workdir

HISTORY = 'config_history.json'
_ENDLESS = ('plateau', 'constant', 'step')  # schedules that do not depend on the number of epochs
_ADVICE = 'to train on, add a stage to config.stages: it begins with the best weights'


class Plan(NamedTuple):
    """How a run is resumed.

    Attributes:
      config: ConfigDict to resume with.
      changes: {dotted name: (old value, new value)}.
      step: steps done of the run.
    """

    config: config_dict.ConfigDict
    changes: dict
    step: int


def plan(folder, config, state=None, fixed=fields.OF_RUN):
    """The `Plan` to resume the run in a folder with a config.

    If an older version wrote the run, a field that is new since then takes the value that stands
    for the old behaviour, unless the config sets it to something other than the default.

    Args:
      folder: pathlib.Path.
      config: ConfigDict with all fields.
      state: the `State` of the run; None if its folder has no stages and steps, as an audit's.
      fixed: without a state: kinds of fields that must not differ, see `fields.field`.

    Raises:
      InputError: if fields differ that must not; it names each with both values.
    """
    path = folder / workdir.CONFIG
    if not path.exists():
        return Plan(config, {}, 0)
    written = workdir.json_of(path)
    there = stored.flat(stored.complete(written, path))
    here = stored.flat(stored.tuples(config.to_dict()))
    known = stored.flat(written).keys()
    for name, field in fields.TABLE.items():
        earlier = name not in known or stored.begun(written) < fields.VERSION
        if earlier and there[name] == field.before and here.get(name) == field.default:
            here[name] = there[name]
    changes = {name: (there.get(name), value) for name, value in here.items()
               if there.get(name) != value}
    before, now = (config_dict.ConfigDict(stored.nested(values)) for values in (there, here))
    if reasons := list(_fixed_changes(changes, fixed) if state is None
                       else _contradictions(before, now, state)):
        raise InputError(f'--workdir: {folder} holds another run: {"; ".join(reasons)}. Expected '
                         'another --workdir, or the same values.')
    return Plan(now, changes, state.total if state else 0)


def claim(folder, plan, part=division.WHOLE):
    """Writes config.json into `folder` and removes half-written files.

    If resuming changes fields, it adds an entry to config_history.json: the time, the step, and the
    old and new value of each field.

    Args:
      folder: pathlib.Path, see `workdir.check`; made if it is missing.
      plan: the `Plan`.
      part: the `division.Division` of this process; beside others no files are removed.

    Raises:
      InputError: if the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for place in (folder, folder / workdir.CHECKPOINTS) if part.whole else ():
            files.remove_leftovers(place)
        path = folder / workdir.CONFIG
        there = workdir.json_of(path) if path.exists() else None
        wanted = stored.packed(plan.config.to_dict(),
                               stored.begun(there) if there else fields.VERSION)
        if there != json.loads(json.dumps(wanted)):
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
    print(f'{folder}: resumes with {told} (noted in {HISTORY})', flush=True)


def _fixed_changes(changes, fixed):
    """Yields a phrase for each changed field whose kind is in `fixed`."""
    for name, (before, now) in changes.items():
        if name in fields.TABLE and fields.TABLE[name].resume in fixed:
            yield _difference(name, before, now)


def _contradictions(before, now, state):
    """Yields a phrase for each change that contradicts what the run has already done."""
    old_stages, new_stages = stages.resolve(before), stages.resolve(now)
    if len(new_stages) <= state.stage:
        yield (f'stages has {len(old_stages)} there, of which {state.stage + 1} were begun, and '
               f'{len(new_stages)} now')
        return
    reported = set()
    for number in range(state.stage + 1):
        there, here = (stored.flat(stage.to_dict())
                       for stage in (old_stages[number], new_stages[number]))
        for name, field in fields.TABLE.items():
            if name in reported or name == 'stages' or field.resume not in fields.OF_RUN or (
                    there[name] == here[name]):
                continue
            reason = _REFUSALS[name](there, here, number, state) if name in _REFUSALS else ''
            if reason is not None:
                reported.add(name)
                yield (f'{f"stage {number}: " if len(new_stages) > 1 else ""}'
                       f'{_difference(name, there[name], here[name])}{reason}')


def _difference(name, before, now):
    return f'{name} is {before!r} there and {now!r} now'


def _epochs(there, here, number, state):
    """Why `epochs` of a stage cannot change; None if it can."""
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
    """Why `averaging.select` cannot change; None if no later stage has begun."""
    return f', and stage {state.stage} began with what it chose' if state.stage else None


def _max_pixels(there, here, number, state):
    """Why `data.max_pixels` cannot change; None if no image can have exceeded the old limit."""
    before, now = (values['data.max_pixels'] or math.inf for values in (there, here))
    if there['data.on_error'] == 'stop' and now >= before:
        return None
    return ', and images may have been left out by it'


_REFUSALS = {'epochs': _epochs, 'averaging.select': _select, 'data.max_pixels': _max_pixels}
