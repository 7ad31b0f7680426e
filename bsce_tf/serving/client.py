"""Asks a server for the classes of images, over REST or gRPC, and prints them as CSV.

  python -m bsce_tf.serving.client --url=http://host:8501/v1/models/bsce_tf a.jpg b.png > found.csv
  python -m bsce_tf.serving.client --url=grpc://host:8500/bsce_tf a.jpg b.png

One row per image: path, class, score, class_2, score_2, … Exit status 1 if the server failed or
could not use an image, 2 for a bad flag or file.
"""

import argparse
import pathlib
import sys

from bsce_tf import files
from bsce_tf.errors import InputError, RunError
from bsce_tf.serving import transport


def main(arguments=None):
    """Runs the client; returns the exit status."""
    try:
        options = _parse(arguments)
        ask = transport.connect(options.url, options.model, options.timeout, options.retries)
        for path in options.images:
            if not pathlib.Path(path).is_file():
                raise InputError(f'{path}: no such file; expected an image file.')
        return _run(ask, options)
    except InputError as error:
        return _say(error, 2)
    except (RunError, OSError) as error:
        return _say(error, 1)
    except KeyboardInterrupt:
        return _say('interrupted', 130)


def _run(ask, options):
    writer, status = files.csv_writer(sys.stdout), 0
    for start in range(0, len(options.images), options.batch):
        paths = options.images[start:start + options.batch]
        try:
            answers = ask([_read(path) for path in paths])
        except transport.BadImageError as error:
            path = paths[error.index] if error.index < len(paths) else f'image {error.index}'
            raise RunError(f'{path}: the server says: {error}') from error
        if not start:
            width = min(options.top or len(answers[0]), len(answers[0]))
            names = ['', *(f'_{i}' for i in range(2, width + 1))]
            writer.writerow(['path', *(f'{kind}{n}' for n in names for kind in ('class', 'score'))])
        for path, answer in zip(paths, answers, strict=True):
            if not answer[0][0]:
                status = _say(f'{path}: the server could not use this image', 1)
            writer.writerow([path, *(x for name, score in answer[:width]
                                     for x in (name, f'{score:.6g}'))])
        sys.stdout.flush()
    return status


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        raise InputError(f'flags: {message}')


def _parse(arguments):
    parser = _Parser(prog='python -m bsce_tf.serving.client', description=__doc__,
                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--url', required=True,
                        help='http(s)://host:port/v1/models/NAME or grpc://host:port/NAME')
    parser.add_argument('--model', default='bsce_tf', help='name of the model, if the URL has none')
    parser.add_argument('--batch', type=_number(int, 1), default=8, help='images per request')
    parser.add_argument('--top', type=_number(int, 1), default=None,
                        help='classes per image; default: all that the server gives')
    parser.add_argument('--timeout', type=_number(float, 0.001), default=60.0,
                        help='seconds for one request')
    parser.add_argument('--retries', type=_number(int, 0), default=4,
                        help='further tries if the server is not reachable or busy')
    parser.add_argument('images', nargs='+', metavar='IMAGE', help='image files')
    return parser.parse_args(arguments)


def _number(kind, low):
    def parse(text):
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not value >= low:
            name = 'a whole number' if kind is int else 'a number'
            raise argparse.ArgumentTypeError(f"found '{text}'; expected {name} ≥ {low}.")
        return value
    return parse


def _read(path):
    try:
        return pathlib.Path(path).read_bytes()
    except OSError as error:
        raise InputError(f'{path}: {error.strerror}; expected an image file.') from error


def _say(error, status):
    print(f'error: {" ".join(str(error).split())}', file=sys.stderr)
    return status


if __name__ == '__main__':
    sys.stdout.reconfigure(errors='surrogateescape')  # names of files need not be text
    sys.exit(main())
