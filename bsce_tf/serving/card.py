"""The model card of an export: README.md beside the SavedModel, for those who use the model.

It begins with metadata as Hugging Face's hub reads it. What only its makers know, such as the
licence, is marked "fill in".
"""

import json
import os

from bsce_tf import metrics, storage
from bsce_tf.data import clean_list
from bsce_tf.errors import InputError, StorageError
from bsce_tf.evaluation import tables
from bsce_tf.training import workdir

NAME = 'README.md'
_FILL_IN = '**fill in**'


def text(name, runs, views, rejects=False, written=()):
    """The card, in Markdown.

    Args:
      name: of the model.
      runs: list of `workdir.Run`.
      views: the `View` of each, with the scales that the export averages.
      rejects: whether the export says which images are not in the catalogue.
      written: list of `formats.write.Written`, files beside or in place of the SavedModel.
    """
    many = len(runs) > 1
    parts = [
        '---\nlicense: # fill in, such as apache-2.0\npipeline_tag: image-classification\n'
        'tags: [bsce-tf, image-classification]\n---',
        f'# {name}',
        f'Gives the class of a picture, one of {len(runs[0].class_names):,}. '
        + (f'{len(runs)} networks vote.' if many else 'One network.'),
        f'Intended use: {_FILL_IN}. Not to be used for: {_FILL_IN}.']
    for i, (run, view) in enumerate(zip(runs, views, strict=True), 1):
        title = f' of network {i}' if many else ''
        parts += [f'## Data{title}', _data(run), f'## Training{title}', _recipe(run),
                  f'## Errors{title}', _errors(run, view)]
    if written:
        parts += ['## Files', '\n'.join(f'- {file.text}' for file in written)]
    parts += ['## Known limits', _limits(runs, rejects), '## Licences',
              f'- Of the weights: {_FILL_IN}.\n- Of the training images: {_FILL_IN}.\n'
              f'- Of the initial weights: {_FILL_IN}, if training began from published ones.']
    return '\n\n'.join(parts) + '\n'


def _data(run):
    data, counts = run.config.data, sorted(count for count in run.data['counts'] if count)
    missing = len(run.data['counts']) - len(counts)
    lines = [f'Source `{data.source}`: {run.data["images"]:,} training images of {len(counts):,} '
             f'classes, of {counts[0]:,} to {counts[-1]:,} images, median '
             f'{counts[len(counts) // 2]:,}.']
    if missing:
        lines.append(f'{missing:,} classes have no training image.')
    if data.noise:
        lines.append(f'{data.noise:.0%} of the training labels were made wrong on purpose '
                     f'(`{data.noise_kind}`).')
    lines += [_noise(data.clean), f'Fingerprint `{run.data["fingerprint"]}`.']
    return '\n'.join(f'- {line}' for line in lines)


def _noise(clean):
    """What the audit that wrote a list in `data.clean` found."""
    if not clean:
        return 'Wrong labels: not estimated by an audit.'
    names = ', '.join(os.path.basename(path.rstrip('/')) for path in storage.several(clean))
    listed = f'Wrong labels: the images of a list, `{names}`; '
    try:
        audited = clean_list.places(clean)[1]
        path = storage.below(os.path.dirname(audited), 'audit.json')
        if not audited or not storage.exists(path):
            return f'{listed}not estimated.'
        with storage.open_file(path) as file:
            told = json.load(file)
    # It was moved, or the bucket does not answer: no reason to refuse an export.
    except (InputError, StorageError, OSError, ValueError):
        return f'{listed}it cannot be read any more, so an estimate is not known.'
    if told.get('noise') is None:
        return 'Wrong labels: an audit could not tell.'
    low, high = told['noise_interval']
    return (f'Wrong labels: an audit estimated {told["noise"]:.1%} ({low:.1%} to {high:.1%}). '
            'Training used the list of images that it keeps.')


def _recipe(run):
    config = run.config
    weights = config.model.weights or 'random'
    return '\n'.join(f'- {name}: {value}' for name, value in {
        'Network': f'`{config.model.backbone}`, initial weights `{weights}`, '
                   f'{config.image.size} px',
        'Loss': f'`{config.loss.name}`',
        'Sampler': f'gamma {config.sampler.gamma:g}, cap {config.sampler.cap or "none"}',
        'Optimizer': f'`{config.optimizer.name}`, learning rate '
                     f'{config.optimizer.learning_rate:g}, schedule `{config.schedule.name}`, '
                     f'batch of {config.batch_size}',
        'Weights of': f'stage {run.best["stage"] + 1}, epoch {run.best["epoch"]}, '
                      f'`{run.best["kind"]}`, validation error {run.best["error"]:.4f}',
        'All fields': '`assets/config.json`, or `config_1.json` and so on of several networks',
    }.items())


def _errors(run, view):
    path = run.folder / workdir.EVALUATION
    served = [str(scale) for scale in view.scales]
    serves = (f'This export averages the scales {", ".join(served)}' if len(served) > 1 else
              f'This export serves the scale {served[0]}')
    if not path.exists():
        return (f'{serves}.\n\nNot evaluated: `bsce evaluate` writes the errors, and the next '
                'export has them.')
    told = json.loads(path.read_text(encoding='utf-8'))
    rows = [((scale,), errors) for scale, errors in told['scales'].items()]
    sizes = {group: [run.data['counts'][k] for k in ids]
             for group, ids in metrics.class_groups(run.data['counts']).items()}
    thirds = '; '.join(f'{group} {min(images):,} to {max(images):,}'
                       for group, images in sizes.items() if images)
    lines = [f'On the {told["split"]} set, {told["images"]:,} images, by the size to which an '
             'image is resized; `tta` averages the features of all of them.',
             tables.markdown(('scale',), rows).rstrip(),
             'Mean top-1 error: the error of each class, averaged over the classes. Head, medium '
             f'and tail: thirds of the classes by their training images ({thirds}).']
    known = [scale for scale in told['scales'] if scale != 'tta']
    if served == known or len(served) == 1 and served[0] in known:
        lines.append(f'{serves}.')
    else:
        lines.append(f'{serves}, which {"were" if len(served) > 1 else "was"} not evaluated'
                     f'{" together" if len(served) > 1 else ""}.')
    if 'other_data' in told:
        lines.append('They are errors on other data than the training set\'s own test set.')
    return '\n\n'.join(lines)


def _limits(runs, rejects):
    limits = ['Each score is the probability that the network gives a class. It is not calibrated.']
    if rejects:
        limits.append('Only the signature `neighbours` says that a picture is not in the '
                      'catalogue; the others name a class for every picture.')
    else:
        limits.append('It names a class for every picture, also for one that shows none of them.')
    smallest = min(count for count in runs[0].data['counts'] if count)
    limits += [f'The smallest class had {smallest:,} training images; see the errors of the tail.',
               f'Pictures that differ from the training images, such as in camera or background: '
               f'{_FILL_IN}.']
    return '\n'.join(f'- {limit}' for limit in limits)
