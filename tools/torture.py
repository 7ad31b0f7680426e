"""Kills the program at random moments and shows that nothing is lost.

  make torture                                     # 100 kills, about 20 minutes on two cores
  python tools/torture.py --kills=20 --only=pack,train

Every mode is run undisturbed first, twice, which tells what it writes and how long it takes. Then
the same command is started again and again and ended by SIGKILL, at moments spread over its whole
duration, until it has run to its end. What lies in its folder must then equal, bit for bit, what
the undisturbed runs wrote, with no other file beside it.

A kill is the death of a process; what a power failure takes from a disk's cache is not tried.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import pathlib
import random
import shutil
import signal
import socket
import sys
import tempfile
import time
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.update(TF_CPP_MIN_LOG_LEVEL='3', CUDA_VISIBLE_DEVICES='', PYTHONPATH=str(ROOT),
                  PYTHONWARNINGS='ignore:resource_tracker')

# A server that has imported everything makes a new process in no time.
SERVER = multiprocessing.get_context('forkserver')
SERVER.set_forkserver_preload([
    'bsce_tf.cli', 'configs.smoke', 'array_record.python.array_record_module', 'faiss',
    'bsce_tf.audit.audit', 'bsce_tf.catalogue.pack', 'bsce_tf.data.sources.generated',
    'bsce_tf.data.sources.folder', 'bsce_tf.evaluation.evaluate', 'bsce_tf.evaluation.predict',
    'bsce_tf.evaluation.neighbours.build',
    'bsce_tf.serving.export', 'bsce_tf.training.train',
    'tensorflow_serving.apis.prediction_log_pb2'])
TIMEOUT = 600  # seconds after which a run that was not killed counts as stuck

# Everything that has a state: stages, dropout, momentum, accumulated gradients, EMA, SWA, plateaus.
STAGES = """
from configs import smoke

def get_config():
    config = smoke.get_config()
    config.update_from_flattened_dict({
        'epochs': 3, 'batch_size': 24, 'deterministic': True, 'model.dropout': 0.2,
        'averaging.ema': 0.9, 'averaging.swa_epochs': 2, 'averaging.batches': 2,
        'optimizer.accumulate': 2, 'schedule.patience': 1, 'schedule.factor': 0.5,
        'checkpoint.steps': 4, 'image.scales': (24,)})
    config.stages = ({}, {'epochs': 2, 'sampler.gamma': 1.0, 'optimizer.learning_rate': 0.005})
    return config
"""
SMOKE = 'configs/smoke.py'
COMMON = {'deterministic': True, 'batch_size': 24}


class Mode(NamedTuple):
    """What is killed.

    Attributes:
      share: of all kills.
      mode: of main.py.
      config: path of a config; relative to the root, or to the folder of the torture.
      fields: {name: value} of config fields; '{base}' stands for the folder of the torture.
      trained: whether a trained run lies in the folder before.
      workers: how many processes run it together.
    """

    share: float
    mode: str
    config: str = SMOKE
    fields: dict = {}  # noqa: RUF012 - never changed
    trained: bool = False
    workers: int = 1


MODES = {
    'train': Mode(0.15, 'train', 'stages.py'),
    'two workers': Mode(0.10, 'train', 'stages.py', {'strategy': 'multiworker'}, workers=2),
    'evaluate': Mode(0.10, 'evaluate', trained=True),
    'predict': Mode(0.15, 'predict', fields={
        'predict.input': '{base}/pictures', 'batch_size': 4, 'data.on_error': 'skip',
        'data.max_bad_fraction': 0.1}, trained=True),
    'index': Mode(0.10, 'index', fields={
        'index.input': '{base}/pictures', 'batch_size': 4, 'data.on_error': 'skip',
        'data.max_bad_fraction': 0.1}, trained=True),
    'export': Mode(0.12, 'export', trained=True),
    'audit': Mode(0.13, 'audit', fields={
        'audit.folds': 2, 'epochs': 2, 'data.noise': 0.2, 'audit.duplicate_similarity': 0.9}),
    'pack': Mode(0.15, 'pack', fields={
        'data.source': 'folder', 'data.root': '{base}/pictures', 'data.shard_images': 8}),
}


def main():
    options = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    options.add_argument('--kills', type=int, default=100, help='over all modes')
    options.add_argument('--only', default=','.join(MODES), help='modes, with commas between')
    options.add_argument('--minutes', type=float, default=60, help='at most, over all modes')
    options.add_argument('--seed', type=int, default=0, help='of the moments')
    options = options.parse_args()
    names = options.only.split(',')
    if not set(names) <= MODES.keys():
        sys.exit(f'--only: found {options.only!r}; expected some of {", ".join(MODES)}')
    whole = sum(MODES[name].share for name in names)
    moments, done, faults = random.Random(options.seed), 0, []
    with tempfile.TemporaryDirectory(prefix='torture-') as base:
        base = pathlib.Path(base)
        _prepare(base)
        for name in names:
            share = MODES[name].share / whole
            killed, found = _torture(base, name, max(round(options.kills * share), 1),
                                     60 * options.minutes * share, moments)
            done, faults = done + killed, faults + found
    print('\n'.join([*(f'LOST: {fault}' for fault in faults),
                     f'{done} kills: {len(faults) or "no"} faults']))
    sys.exit(bool(faults))


def _prepare(base):
    """Pictures in folders of classes, one of them broken, configs, and a trained run."""
    from PIL import Image

    from bsce_tf.data.sources import generated

    examples = generated.load().train
    for i in range(0, len(examples), 2):
        folder = base / 'pictures' / f'class {examples.labels[i]}'
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(examples.images[i]).save(folder / f'{i:03d}.png')
    (folder / 'broken.png').write_bytes(b'no image')
    (base / 'stages.py').write_text(STAGES, encoding='utf-8')
    place = base / 'trained'
    _finish(_start(base, place, Mode(0, 'train', fields={'epochs': 3})), place)


def _torture(base, name, kills, seconds, moments):
    """(number of kills, what was lost in words) of a mode."""
    mode, place, faults, end = MODES[name], base / 'run', [], time.monotonic() + seconds
    try:
        expected, _ = _undisturbed(base, place, mode)
        again, duration = _undisturbed(base, place, mode)
    except RuntimeError as error:
        return 0, [f'{name}: undisturbed: {error}']
    if _differing(expected, again):
        return 0, [f'{name}: two undisturbed runs differ in {_differing(expected, again)}']
    # One moment of each part of the duration, in no order.
    spread = [(i + moments.random()) / kills * duration for i in range(kills)]
    moments.shuffle(spread)
    done = completed = 0
    while done < kills and len(faults) < 5 and time.monotonic() < end:
        _begin(base, place, mode)
        # Again and again, at any time: a run that went on is shorter, so it may end before.
        processes = _start(base, place, mode)
        for moment in (spread[done], *(moments.random() * duration for _ in range(3))):
            if done == kills or not _kill(processes, moment, moments):
                spread[done % kills] *= 0.8  # it was faster than the undisturbed ones
                break
            done += 1
            processes = _start(base, place, mode)
        try:
            _finish(processes, place)
        except RuntimeError as error:
            faults.append(f'{name}: after {done} kills: {error}')
            continue
        completed += 1
        differing = _differing(expected, _contents(place))
        if differing:
            faults.append(f'{name}: after {done} kills differ: {differing}')
    print(f'{name}: {done} kills, {completed} runs went on to their end, {len(faults)} faults '
          f'({duration:.1f} s undisturbed)', flush=True)
    return done, faults


def _undisturbed(base, place, mode):
    """(contents, seconds) of a run."""
    _begin(base, place, mode)
    begin = time.monotonic()
    _finish(_start(base, place, mode), place)
    return _contents(place), time.monotonic() - begin


def _begin(base, place, mode):
    """Makes the folder as it is before a run. Always the same path, as files may tell it."""
    shutil.rmtree(place, ignore_errors=True)
    if mode.trained:
        shutil.copytree(base / 'trained', place)


def _start(base, place, mode):
    """Processes of one command."""
    config = base / mode.config if (base / mode.config).exists() else ROOT / mode.config
    fields = {**COMMON, **mode.fields}
    command = ['main.py', f'--config={config}', f'--workdir={place}', f'--mode={mode.mode}',
               *(f'--config.{name}={value}'.replace('{base}', str(base))
                 for name, value in fields.items())]
    addresses = _free_addresses(mode.workers)
    clusters = [json.dumps({'cluster': {'worker': addresses},
                            'task': {'type': 'worker', 'index': i}})
                for i in range(mode.workers)] if mode.workers > 1 else ['']
    processes = [SERVER.Process(target=_run, args=(command, cluster, base / f'log-{i}'))
                 for i, cluster in enumerate(clusters)]
    for process in processes:
        process.start()
    return processes


def _run(command, cluster, log):
    """What a process does; what it prints goes into the log."""
    with open(log, 'w') as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    if cluster:
        os.environ['TF_CONFIG'] = cluster
    os.chdir(ROOT)
    sys.argv = command
    from bsce_tf import cli
    sys.exit(cli.main(command))


def _free_addresses(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(('localhost', 0)))
                   for _ in range(count)]
        return [f'localhost:{free.getsockname()[1]}' for free in sockets]


def _kill(processes, moment, moments):
    """Kills one of the processes after `moment` seconds; whether it was still running."""
    victim = moments.choice(processes)
    victim.join(moment)
    if not victim.is_alive():
        return False
    victim.kill()
    victim.join()
    for process in processes:  # the others notice, or wait for it to come back
        process.join(10)
        process.kill()
        process.join()
    return victim.exitcode == -signal.SIGKILL


def _finish(processes, place):
    """Waits for the end of a run that is left alone.

    Raises:
      RuntimeError: if it fails or is stuck.
    """
    end = time.monotonic() + TIMEOUT
    for process in processes:
        process.join(max(end - time.monotonic(), 0))
    found = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
        process.join()
    if any(found) or None in found:
        log = (place.parent / 'log-0').read_text(errors='replace')[-600:]
        raise RuntimeError(f'exit status {found}, None: no end in {TIMEOUT} s: {log}')


def _contents(place):
    """{name in the folder: value} of all that a run wrote.

    Left out are TensorBoard's event files, whose names and records tell the time, and the content
    of a SavedModel's fingerprint.pb, which holds a random number, and of an index's hashes.bin, to
    which threads add in any order.
    """
    import h5py
    import numpy as np

    found = {}
    for path in sorted(place.rglob('*')):
        name = str(path.relative_to(place))
        if path.is_dir() or path.name.startswith('events.out.tfevents'):
            continue
        if path.suffix == '.h5':
            with h5py.File(path) as file:
                file.visititems(lambda key, item, name=name: found.update(
                    {f'{name}:{key}': np.asarray(item[()]).tobytes()}
                    if hasattr(item, 'shape') else {}))
        elif path.suffix == '.npz':
            with np.load(path) as file:
                found.update({f'{name}:{key}': file[key].tobytes() for key in file})
        else:
            found[name] = (None if path.name in ('fingerprint.pb', 'hashes.bin')
                           else path.read_bytes())
    return found


def _differing(expected, found):
    """Names of what is missing, too much or not equal, at most eight."""
    names = [f'{name} ({"missing" if name not in found else "left over"})'
             for name in sorted(expected.keys() ^ found.keys())]
    names += [name for name in expected if name in found and expected[name] != found[name]]
    return ', '.join(names[:8])


if __name__ == '__main__':
    main()
