"""The sections on all runs together: errors, curves, config."""

from bsce_tf.report import curves
from bsce_tf.report.markup import DASH, bar_cell, count, element, join, plural, rate, short, table
from bsce_tf.report.results import RATES

_LISTED = 60  # epochs in the table of metrics, about; more are thinned


def cards(runs, ensemble):
    """A card with the mean top-1 error of every run, and one of the vote of models.

    Args:
      runs: list of `details.Detail`.
      ensemble: the dict of ensemble.json, or None.
    """
    items = [_card(run.results.name, run.errors.get('mean_top1_error'),
                   f'mean top-1 error, {run.split or "not evaluated"}', _recipe(run.results))
             for run in runs]
    vote = ((ensemble or {}).get('vote') or {}).get('mean_top1_error')
    if vote is not None:
        items.append(_card('top-1 vote', vote, 'mean top-1 error',
                           f'of {plural(len(ensemble.get("models", [])), "model")}'))
    return element('ul', *items, class_='cards')


def _card(name, error, *lines):
    return element('li', element('span', name, class_='soft'), element('b', rate(error)),
                   *(element('span', line, class_='soft') for line in lines), class_='card')


def _recipe(results):
    """'loss bsce → sce, sampler γ = 0, small_resnet'."""
    config = results.run.config
    return (f'loss {_losses(results)}, sampler γ = {config.sampler.gamma:g}, '
            f'{config.model.backbone}')


def _losses(results):
    return ' → '.join(dict.fromkeys(results.losses))


def errors(runs, ensemble):
    """Tables of errors: by run, by test scale, by kind of weights, and of ensembles."""
    parts = [_error_table(
        'Errors of the runs; head, medium and tail: means over a third of the classes each, by '
        'training images', ('run', 'loss', 'backbone', 'set', 'images'),
        [((run.results.name, _losses(run.results),
           run.results.run.config.model.backbone,
           run.split or DASH, count(run.errors['images']) if 'images' in run.errors else DASH),
          run.errors) for run in runs])]
    parts += [note for run in runs for note in run.notes]
    for key, head, caption in (
            ('scales', 'scale', 'Errors by test scale; tta: features of all scales averaged'),
            ('weights', 'weights', 'Errors of each kind of weights')):
        rows = [((run.results.name, name), values) for run in runs
                for name, values in ((run.results.evaluation or {}).get(key) or {}).items()]
        if rows:
            parts.append(_error_table(caption, ('run', head), rows))
    if ensemble:
        rows = [((model.get('folder', ''),), model) for model in ensemble.get('models', [])]
        rows += [((text,), ensemble[key]) for key, text in (
            ('vote', 'top-1 vote'), ('mean', 'mean probability')) if key in ensemble]
        parts.append(_error_table('Errors of several models together, as --mode=evaluate found',
                                  ('model',), rows))
    return join(parts)


def _error_table(caption, heads, rows):
    keys = [key for key in RATES if any(key in values for _, values in rows)]
    lowest = {key: min((values[key] for _, values in rows if values.get(key) is not None),
                       default=None) for key in keys}
    body = [[*cells, *(bar_cell(values.get(key), rate(values.get(key)), len(rows) > 1
                                and values.get(key) == lowest[key]) for key in keys)]
            for cells, values in rows]
    return table([*heads, *(RATES[key] for key in keys)], body, caption,
                 range(len(heads), len(heads) + len(keys)))


def history(runs):
    """Curves of every metric, and tables of their values."""
    names = [run.results.name for run in runs]
    histories = [run.results.history for run in runs]
    parts = [element('p', f'{run.results.name}: no metrics.csv, so it has no curve.', class_='note')
             for run in runs if not run.results.history]
    if any(histories):
        parts += [curves.legend(histories, names),
                  element('div', *curves.charts(histories, names), class_='charts'),
                  curves.constant_rate(histories)]
    parts += [_numbers(run.results) for run in runs if run.results.history]
    return join(parts)


def _numbers(results):
    rows = results.history
    step = -(-len(rows) // _LISTED)
    chosen = [row for i, row in enumerate(rows) if i % step == 0 or i == len(rows) - 1]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    body = [[_cell(name, row.get(name)) for name in columns] for row in chosen]
    every = '' if step == 1 else f', every {step}th epoch'
    best = results.run.best
    return element('details', element('summary', f'{results.name}: the numbers{every}'), element(
        'p', f'The weights in use ({best["kind"]}) are of epoch {best["epoch"]}, stage '
        f'{best["stage"]}, with an error of {rate(best["error"])} on the validation set.'),
        table(columns, body, f'metrics.csv of {results.name}', range(len(columns))))


def _cell(name, value):
    if value is None or value != value:
        return DASH
    if name in ('stage', 'epoch'):
        return count(value)
    return rate(value) if name.endswith('error') else short(value)


def config(runs):
    """The config fields that differ between the runs, then all others."""
    results = [run.results for run in runs]
    names = [item.name for item in results]
    fields = list(dict.fromkeys(name for item in results for name in item.config))
    rows = {name: [repr(item.config[name]) if name in item.config else DASH for item in results]
            for name in fields}
    differing = [name for name in fields if len(set(rows[name])) > 1]
    parts = []
    if len(runs) > 1:
        parts.append(table(['field', *names], [[name, *rows[name]] for name in differing],
                           f'{plural(len(differing), "field")} that differ between the runs')
                     if differing else element('p', 'All fields are the same in all runs.'))
    same = [name for name in fields if name not in differing]
    if same:
        parts.append(element(
            'details', element('summary', f'{plural(len(same), "field")}'
                               + (' that are the same' if len(runs) > 1 else '')),
            table(['field', 'value'], [[name, rows[name][0]] for name in same],
                  'Fields of config.json'), open=True if len(runs) == 1 else None))
    return join(parts)
