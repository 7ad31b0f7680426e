"""The parts of the reference that are made from the program itself: fields, modes, Python."""

import inspect
import re

import bsce_tf
from bsce_tf import api, class_weights, cli, fields, losses, metrics, recipes
from bsce_tf.fields import field as kinds

GOES_ON = {
    kinds.FIXED: 'When a run is resumed: must not differ.',
    kinds.BOUNDED: 'When a run is resumed: may differ within bounds, see '
                   '[Stop and resume](../how-to/resume.md#resume-with-other-fields).',
    kinds.DATA: 'When a run is resumed: may differ if the images and labels are the same.',
    kinds.AUDIT: 'May differ when a run is resumed, but not when an audit is.',
    kinds.ROUNDS: 'May differ when a run is resumed, but not when `clean_train` is.',
    kinds.LATER: 'May differ when a run is resumed.',
}
GROUPS = {'': 'The run as a whole'}
GUIDES = {
    'demo': '[Install](../install.md#the-demo)',
    'models': '[Choose a backbone](../how-to/backbones.md)',
    'inspect': '[Look at the data first](../how-to/your-data.md#look-at-the-data-first)',
    'verify': '[Broken images](../how-to/your-data.md#broken-images)',
    'pack': '[Read faster](../how-to/your-data.md#read-faster-pack)',
    'train': '[Train on your own data](../how-to/your-data.md)',
    'audit': '[Find wrong labels](../how-to/wrong-labels.md)',
    'review': '[Correct labels by hand](../how-to/review.md)',
    'clean_train': '[Several rounds](../how-to/wrong-labels.md#several-rounds-in-one-command)',
    'convert': '[Published weights](../how-to/backbones.md#published-weights)',
    'index': '[New products without training](../how-to/new-products.md)',
    'evaluate': '[Several crops, several models](../how-to/ensembles.md)',
    'predict': '[Several crops, several models](../how-to/ensembles.md)',
    'export': '[Serve a model](../how-to/serving.md)',
    'report': '[Look at a run](../how-to/report.md)',
    'demo_page': '[Show a model](../how-to/demo-page.md)',
}

# Of the Python interface: heading, and what stands below it.
PYTHON = {
    'Train and use runs': (
        ('bsce_tf.train', api.train), ('bsce_tf.load', api.load), ('bsce_tf.Run', api.Run),
        ('bsce_tf.api.Predictions', api.Predictions), ('bsce_tf.recipes.load', recipes.load),
        ('bsce_tf.InputError', bsce_tf.InputError), ('bsce_tf.RunError', bsce_tf.RunError)),
    'Losses': tuple(
        (f'bsce_tf.losses.{name}', getattr(losses, name)) for name in losses.__all__
        if inspect.isclass(getattr(losses, name))) + (
            ('bsce_tf.losses.bsce', losses.bsce), ('bsce_tf.losses.make', losses.make)),
    'Class weights and metrics': (
        ('bsce_tf.class_weights.balanced', class_weights.balanced),
        ('bsce_tf.class_weights.effective', class_weights.effective),
        ('bsce_tf.metrics.MeanTop1Error', metrics.MeanTop1Error),
        ('bsce_tf.metrics.class_groups', metrics.class_groups),
        ('bsce_tf.metrics.summary', metrics.summary)),
}
_SECTION = re.compile(r'^(Args|Attributes|Returns|Raises|Yields|Examples?):$')
_ENTRY = re.compile(r'^  (\*{0,2}\w[\w.]*(?:, \*{0,2}\w[\w.]*)*): (.*)$')


def config_fields():
    """Every field of a config, grouped as `--helpfull` groups them."""
    lines, group = [], None
    blocks = list(dict.fromkeys(name.rpartition('.')[0] for name in fields.TABLE))
    for name in sorted(fields.TABLE, key=lambda name: blocks.index(name.rpartition('.')[0])):
        field, block = fields.TABLE[name], name.rpartition('.')[0]
        if block != group:
            group = block
            lines += [f'## {GROUPS.get(block, block)}', '']
        expected = field.rule.expected
        modes = [f'`{mode}`' for mode, row in cli.MODES.items() if row.uses(name)]
        lines += [f'### `{name}`', '', _text(field.help), '',
                  f'- Default: `{field.default!r}`. Expected: {_text(expected)}.',
                  f'- {GOES_ON[field.resume]}', f'- Used by: {", ".join(modes)}.', '']
    return '\n'.join(lines).strip()


def modes():
    """Every mode of the command line, with the groups of fields that it uses."""
    lines = []
    for group, members in cli.GROUPS.items():
        lines += [f'## {group.partition(" (")[0]}', '']
        for name, mode in members.items():
            used = ', '.join(f'[`{block}`](fields.md#{_anchor(block)})' for block in _blocks(mode))
            flags = '' if group == 'Begin' else (
                ' --workdir=A,B' if group.startswith('Use') else ' --config=NAME --workdir=DIR')
            lines += [f'### `{name}`', '', f'{mode.help[0].upper()}{mode.help[1:]}.', '',
                      f'- Command: `bsce {name}{flags}`', f'- Guide: {GUIDES[name]}',
                      f'- Fields: {used or "none"}{_left_out(mode)}', '']
    return '\n'.join(lines).strip()


def _blocks(mode):
    """Groups of fields, '' being the first, and single fields, that a mode uses."""
    found = {}
    for name in fields.TABLE:
        if mode.uses(name):
            whole = name.rpartition('.')[0]
            found[whole if whole and f'{whole}.' in mode.fields else name] = True
    return found


def _left_out(mode):
    names = ', '.join(f'`{name}`' for name in mode.without)
    return names and f'; without {names}'


def _anchor(name):
    return re.sub(r'[^\w\- ]', '', name.lower()).replace(' ', '-')


def python():
    """Functions and classes for users, from their signatures and docstrings."""
    lines = []
    for heading, members in PYTHON.items():
        lines += [f'## {heading}', '']
        for name, member in members:
            lines += [f'### `{name}`', '', *_described(name, member)]
            if inspect.isclass(member) and member is api.Run:
                for method, value in vars(member).items():
                    if not method.startswith('_') and inspect.getdoc(value):
                        lines += [f'#### `Run.{method}`', '', *_described(f'run.{method}', value)]
    return '\n'.join(lines).strip()


def _described(name, member):
    """Signature and docstring in Markdown, as lines that end with an empty one."""
    lines = []
    if callable(member) and not (inspect.isclass(member) and issubclass(member, Exception)):
        arguments = [str(argument) for argument in inspect.signature(member).parameters.values()
                     if argument.name != 'self']
        signature = f'{name}({", ".join(arguments)})'
        if len(signature) > 88:
            signature = f'{name}(\n' + ''.join(f'    {item},\n' for item in arguments) + ')'
        lines += ['```python', signature, '```', '']
    return [*lines, *docstring(inspect.getdoc(member)), '']


def docstring(text):
    """A docstring of this project in Markdown: its sections become bold words and lists."""
    lines, section = [], ''
    for line in text.split('\n'):
        found = _SECTION.match(line)
        if found:
            section = found[1]
            lines += [f'**{section}**', '']
            lines += ['```pycon'] if section.startswith('Example') else []
        elif not section:
            lines.append(line if line.startswith('    ') else _text(line))
        elif section.startswith('Example'):
            if line and not line.startswith('  '):
                raise ValueError(f'a line after the examples: {line}')
            lines.append(line[2:])
        elif entry := _ENTRY.match(line):
            marks = ', '.join(f'`{name}`' for name in entry[1].split(', '))
            lines.append(f'- {marks}: {_text(entry[2])}')
        else:
            lines.append(_text(line[2:] if section in ('Returns', 'Yields') else line))
    while lines and not lines[-1]:
        lines.pop()
    if section.startswith('Example'):
        lines.append('```')
    return lines


def _text(words):
    """Words with the characters that Markdown takes for marks escaped, but in code."""
    parts = re.split(r'(`[^`]*`)', words)
    return ''.join(part if part.startswith('`') else re.sub(r'([*_<$])', r'\\\1', part)
                   for part in parts)


PARTS = {'fields': config_fields, 'modes': modes, 'python': python}
