"""Decodes every image once and lists the bad ones, so that none ends a training run.

A damaged JPEG may decode: its decoder fills up what it cannot read, and only warns. So images with
warnings are listed, too, but separately, since some warnings are harmless, such as stray bytes
before a marker.

Worker processes decode the images, so that a crash of the decoder ends only a worker; the image
that caused it is bad. Verdicts are written to a journal at once, so that a second call continues
where the first was interrupted.
"""

import concurrent.futures
import contextlib
import json
import multiprocessing
import os
import pathlib
import tempfile

import numpy as np
from absl import logging

from bsce_tf import division, files
from bsce_tf.data import clean_list, sources
from bsce_tf.data.reading import parallel, records
from bsce_tf.errors import InputError, RunError
from bsce_tf.progress import Bar
from bsce_tf.termination import Terminated

_CHUNK = 32  # images that a worker judges at a time
_CRASH = 'decoder crashed: its process was killed'


def run(config, workdir):
    """Mode `verify`: judges every split of `config.data`.

    Writes `bad_images.csv` (path, reason), `warned_images.csv` (path, warning), `clean_train.csv`
    and so on for every split, and `verify.json` (counts, and files whose ending is not that of
    their format) into `workdir`. `--config.data.clean=<workdir>` then leaves bad images out,
    whatever the source. With `data.warned = bad`, images whose decoder warned count as bad. With
    `part`, the part that ends last writes these files.

    Raises:
      InputError: if the data are not as expected.
      RunError: if another process holds `workdir`.
      PreemptedError: after SIGTERM or Ctrl-C; the same call goes on.
    """
    workdir, part = pathlib.Path(workdir), division.of(config.part)
    with part.held(workdir), Terminated() as terminated, terminated.at_once(
            f'{workdir}: told to stop; verdicts that are done stay, and the same command resumes'):
        _run(config, workdir, part)


def _run(config, workdir, part):
    """`run` of a part that this process holds."""
    splits = sources.load(config.data.source, **sources.fields(config.data))
    splits = {split: found for split, found in splits._asdict().items() if found is not None}
    journals = {split: _Journal(workdir, split, examples, config.data.max_pixels)
                for split, examples in splits.items()}
    found = {split: verify(
        records.of(examples), config.data.max_pixels, journals[split].begun(part),
        f'verify {split}', readers=examples.storage.readers,
        span=part.span(len(examples), _CHUNK)) for split, examples in splits.items()}
    if part.whole:
        _write(config, workdir, splits, found, journals, part)
        return

    def join():
        _write(config, workdir, splits, {
            split: journal.joined(part.all) for split, journal in journals.items()}, journals, part)

    division.join(workdir, 'verify', lambda: (
        all(journal.complete(other) for journal in journals.values()) for other in part.all), join)


def _write(config, workdir, splits, found, journals, part):
    """Writes what was found, {split: what `verify` returns}, and removes the journals."""
    summary, bad, warned, kept = {}, [], [], {}
    for split, examples in splits.items():
        reader = records.of(examples)
        verdicts, warnings, endings = found[split]
        endings = sorted(endings)
        if config.data.warned == 'bad':
            verdicts |= {i: f'decoder warned: {text}' for i, text in warnings.items()}
            warnings = {}
        bad += [(bytes(reader.names[i]), verdicts[i]) for i in sorted(verdicts)]
        warned += [(bytes(reader.names[i]), warnings[i]) for i in sorted(warnings)]
        kept[split] = np.setdiff1d(np.arange(len(examples)), sorted(verdicts))
        summary[split] = {'images': len(examples), 'bad': len(verdicts), 'warned': len(warnings),
                          'wrong_endings': endings}
        print(f'{split}: {len(examples)} images, {len(verdicts)} bad, {len(warnings)} whose '
              f'decoder warned, {len(endings)} with the ending of another format (these are fine).')
    clean_list.write_rows(workdir / 'bad_images.csv', ('path', 'reason'), bad)
    clean_list.write_rows(workdir / 'warned_images.csv', ('path', 'warning'), warned)
    for split, examples in splits.items():
        clean_list.write(workdir / f'clean_{split}.csv', examples, kept[split])
    files.write_json(workdir / 'verify.json', summary)
    for journal in journals.values():  # so that the next call judges anew
        for other in part.all:  # on a file system without locks another process took it
            files.remove(journal.path(other))
    for name, reason in bad[:10]:
        print(f'  {os.fsdecode(name)}: {reason}')
    for name, warning in warned[:10]:
        print(f'  {os.fsdecode(name)}: decoder warned: {warning}')
    if warned:
        print(f'{len(warned)} images in {workdir / "warned_images.csv"} decode, but may be '
              'damaged; --config.data.warned=bad counts them as bad.')
    print(f'{len(bad)} bad images in {workdir / "bad_images.csv"}; leave them out by '
          f'--config.data.clean={files.address(workdir)}')


def verify(reader, max_pixels, journal, title='verify', processes=None, progress=True, readers=1,
           span=None):
    """Judges the images of one reader.

    Args:
      reader: a `records.Records`.
      max_pixels: the most pixels of an image; 0 for no limit.
      journal: file of verdicts. Images in it are not judged again; new verdicts are added.
      title: label of the progress bar.
      processes: worker processes; None: one for each core.
      progress: whether to show the progress bar.
      readers: images that are read at a time, by all processes together.
      span: (first, end) of the images to judge, from a multiple of 32; None: all.

    Returns:
      Dict of index → reason of the bad images; dict of index → warning of the good images whose
      decoder warned; list of [name, format] of the images whose ending is that of another format.
    """
    bad, warned, endings, done = _read_journal(journal, len(reader), own=True)
    begin, end = span or (0, len(reader))
    chunks = (numbers for first in range(begin, end, _CHUNK)
              if (numbers := [i for i in range(first, min(first + _CHUNK, end)) if not done[i]]))
    with (open(journal, 'a', encoding='utf-8') as log,
          Bar(title, end - begin, done=int(done[begin:end].sum()), shown=progress) as bar):
        for numbers, found in _judge_all(reader, chunks, max_pixels, processes or os.cpu_count(),
                                         readers):
            judged = list(zip(numbers, found, strict=True))
            entry = {'first': numbers[0], 'last': numbers[-1],
                     'bad': {i: reason for i, (reason, _, _) in judged if reason},
                     'warned': {i: text for i, (reason, text, _) in judged if text and not reason},
                     'endings': [[reader.names[i].decode('utf-8', 'replace'), kind]
                                 for i, (_, _, kind) in judged if kind]}
            log.write(json.dumps(entry) + '\n')
            log.flush()
            bad.update(entry['bad'])
            warned.update(entry['warned'])
            endings += entry['endings']
            bar.update(len(numbers), lambda: f'{len(bad)} bad')
    return bad, warned, endings


def _judge_all(reader, chunks, max_pixels, processes, readers):
    """Yields (numbers, verdicts) of every chunk of an iterator, as they are ready."""
    suspects = []
    while True:
        with _pool(reader, max_pixels, processes, -(-readers // processes)) as pool:
            pool.submit(_judge, []).result()  # no image causes a failure to start
            tasks = {}
            broken = False
            while not broken:
                while len(tasks) < 4 * processes and (chunk := next(chunks, None)):
                    tasks[pool.submit(_judge, chunk)] = chunk
                if not tasks:
                    break
                ready, _ = concurrent.futures.wait(
                    tasks, return_when=concurrent.futures.FIRST_COMPLETED)
                for task in ready:
                    try:
                        found = task.result()
                    except concurrent.futures.process.BrokenProcessPool:
                        broken = True  # one of the running tasks crashed its worker
                        continue
                    yield tasks.pop(task), found
            suspects += tasks.values()
        if not broken:
            break
    for chunk in suspects:
        yield from _judge_apart(reader, chunk, max_pixels)


def _judge_apart(reader, chunk, max_pixels):
    """Yields as `_judge_all`, image by image, as one of them may crash its process."""
    numbers = list(chunk)
    while numbers:
        with _pool(reader, max_pixels, 1) as pool:
            pool.submit(_judge, []).result()
            for number in list(numbers):
                try:
                    found = pool.submit(_judge, [number]).result()
                except concurrent.futures.process.BrokenProcessPool:
                    yield [numbers.pop(0)], [(_CRASH, '', '')]
                    break
                yield [numbers.pop(0)], found


@contextlib.contextmanager
def _pool(reader, max_pixels, processes, readers=1):
    """Context manager of the worker processes; an error ends the images that wait for one."""
    # A fork of this process would hang in TensorFlow's threads; a fork of a server that has only
    # imported it does not, and costs no second import.
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(['bsce_tf.data.images.check'])
    with concurrent.futures.ProcessPoolExecutor(
            processes, context, initializer=_start, initargs=(reader, max_pixels, readers)) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


_worker = {}


def _start(reader, max_pixels, readers):
    """Prepares a worker process."""
    os.environ['CUDA_VISIBLE_DEVICES'] = ''  # decoding needs no GPU
    os.environ['TF_CPP_MIN_LOG_LEVEL'] = '3'
    # The decoder writes its warnings, without the image's name, to file descriptor 2.
    stderr = tempfile.TemporaryFile()  # noqa: SIM115 as long as the process lives
    os.dup2(stderr.fileno(), 2)
    from bsce_tf.data.images import check
    _worker.update(reader=reader, max_pixels=max_pixels, readers=readers, judge=check.judge,
                   stderr=stderr)


def _judge(numbers):
    """(reason or None, decoder's warning or '', format if the ending differs or '') per image."""
    images = parallel.each(_worker['reader'], numbers, _worker['readers'])
    return [_judge_one(number, image) for number, image in zip(numbers, images, strict=True)]


def _judge_one(number, image):
    if isinstance(image, InputError):
        cause = image.__cause__  # the path is in another column
        return getattr(cause, 'strerror', None) or str(image), '', ''
    _take_stderr()  # drop what others than the decoder wrote
    reason, kind = _worker['judge'](image, _worker['max_pixels'])
    warning = _take_stderr()
    differs = not reason and _ending_differs(bytes(_worker['reader'].names[number]), kind)
    return reason, warning, kind if differs else ''


def _take_stderr():
    """What was written to standard error since the last call, in one line."""
    file = _worker['stderr'].fileno()
    if not os.fstat(file).st_size:
        return ''
    text = os.pread(file, 500, 0).decode(errors='replace')
    os.ftruncate(file, 0)
    os.lseek(file, 0, os.SEEK_SET)
    return ' '.join(text.split())


_ENDINGS = {b'.jpg': 'JPEG', b'.jpeg': 'JPEG', b'.jpe': 'JPEG', b'.jfif': 'JPEG', b'.png': 'PNG',
            b'.gif': 'GIF', b'.bmp': 'BMP', b'.webp': 'WebP'}


def _ending_differs(name, kind):
    return _ENDINGS.get(os.path.splitext(name)[1].lower(), kind) != kind


class _Journal:
    """The verdicts on one split, in one file for each part."""

    def __init__(self, workdir, split, examples, max_pixels):
        self._path, self._images = workdir / f'verify_{split}.jsonl', len(examples)
        self._head = json.dumps({
            'fingerprint': records.fingerprint(examples), 'contents': records.contents(examples),
            'max_pixels': max_pixels, 'entries': ['bad', 'warned', 'endings']})

    def path(self, part):
        """Of the file of a part."""
        return part.file(self._path)

    def begun(self, part):
        """The file of a part, started anew if it is of other data."""
        path = self.path(part)
        if path.exists():
            if self._fits(path):
                return path
            logging.warning('%s: verdicts on other data; starting anew.', path)
        files.write_text(path, self._head + '\n')
        return path

    def complete(self, part):
        """Whether all images of a part are judged."""
        path, (first, end) = self.path(part), part.span(self._images, _CHUNK)
        return path.exists() and self._fits(path) and bool(
            _read_journal(path, self._images)[3][first:end].all())

    def joined(self, parts):
        """What `verify` returns, of all parts.

        Raises:
          RunError: if a journal is gone.
        """
        bad, warned, endings, done = {}, {}, [], np.zeros(self._images, bool)
        for part in parts:
            found = _read_journal(self.path(part), self._images)
            bad |= found[0]
            warned |= found[1]
            endings += found[2]
            done |= found[3]
        if not done.all():
            raise RunError(f'{self._path}: the verdicts of {(~done).sum()} images are gone; '
                           'expected those of all parts: start the parts once more.')
        return bad, warned, endings

    def _fits(self, path):
        with open(path, encoding='utf-8') as file:
            return file.readline().strip() == self._head


def _read_journal(path, images, own=False):
    """(bad, warned, endings, bool `[images]`: judged) in a journal; of its own, half a line goes.
    """
    bad, warned, endings, done = {}, {}, [], np.zeros(images, bool)
    if not os.path.exists(path):
        return bad, warned, endings, done
    with open(path, 'rb+' if own else 'rb') as file:
        for line in iter(file.readline, b''):
            if not line.endswith(b'\n'):  # cut off when the process was killed
                if own:
                    file.truncate(file.tell() - len(line))
                break
            entry = json.loads(line)
            if 'first' in entry:
                done[entry['first']:entry['last'] + 1] = True
                bad.update({int(i): reason for i, reason in entry['bad'].items()})
                warned.update({int(i): text for i, text in entry['warned'].items()})
                endings += entry['endings']
    return bad, warned, endings, done
