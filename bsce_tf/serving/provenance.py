"""Files in an export that say which runs, settings and program version it was made from."""

import json
import pathlib
import shutil
import subprocess

import keras
import tensorflow as tf

import bsce_tf
from bsce_tf import files
from bsce_tf.data import label_map
from bsce_tf.training import workdir


def write(folder, runs, views, settings):
    """Writes classes.json, export.json and the config of each run.

    classes.json: class names by id. config.json: of the run; config_1.json, … of an ensemble.
    export.json: version and revision of the program, the settings of the export and, for each run,
    its folder's name, best.json, eval.json, fingerprint and size of its data, and test-time crops.

    Args:
      folder: pathlib.Path of an empty folder.
      runs: list of `workdir.Run`.
      views: the `View` of each.
      settings: dict of plain values: the settings of the export.

    Returns:
      Paths of the files.
    """
    paths = [folder / 'classes.json', folder / 'export.json']
    label_map.save(paths[0], runs[0].class_names)
    files.write_json(paths[1], {
        'bsce_tf': bsce_tf.__version__, 'revision': revision(), 'tensorflow': tf.__version__,
        'keras': keras.__version__, **settings,
        'members': [_describe(run, view) for run, view in zip(runs, views, strict=True)]})
    for i, run in enumerate(runs):
        name = workdir.CONFIG if len(runs) == 1 else f'config_{i + 1}.json'
        shutil.copyfile(run.folder / workdir.CONFIG, folder / name)
        paths.append(folder / name)
    return paths


def _describe(run, view):
    evaluation = run.folder / workdir.EVALUATION
    return {
        'run': run.folder.resolve().name, 'weights': run.weights.name, 'best': run.best,
        'evaluation': json.loads(evaluation.read_text()) if evaluation.exists() else None,
        'data': {key: run.data[key] for key in ('images', 'channels', 'fingerprint')},
        'scales': list(view.scales), 'size': view.size, 'aspect': view.aspect,
        'antialias': view.antialias}


def revision():
    """Git revision of this program, with '-dirty' if files were changed; None without Git."""
    root = pathlib.Path(__file__).resolve().parents[2]
    try:
        top = _git(root, 'rev-parse', '--show-toplevel')
        if pathlib.Path(top).resolve() != root:  # installed inside of another project
            return None
        return _git(root, 'describe', '--always', '--dirty', '--abbrev=40', '--exclude=*')
    except (OSError, subprocess.SubprocessError):
        return None


def _git(root, *arguments):
    return subprocess.run(['git', '-C', str(root), *arguments], check=True, capture_output=True,
                          text=True, timeout=30).stdout.strip()
