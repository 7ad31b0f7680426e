"""review(config, workdir): a page on which a person corrects the labels that an audit lists."""

import contextlib
import getpass
import pathlib
import secrets

from bsce_tf import files
from bsce_tf.errors import InputError
from bsce_tf.review import catalogue, result, store
from bsce_tf.review.exchange import exchange
from bsce_tf.training import workdir
from bsce_tf.web import waiting


def review(config, folder):
    """Serves the page until Ctrl-C, on this machine alone, and writes what was decided.

    With `review.read` or `review.write` another program takes the place of the page, see
    `exchange.exchange`.

    Writes into the folder of the audit:

    * decisions.jsonl: every decision, see `bsce_tf.data.decisions`; on disk before the next image
      is shown. Another call goes on with it.
    * reviewed.csv: the clean list that follows from it, for `data.clean`; within seconds, and at
      the begin and at the end.

    Args:
      config: ConfigDict; only `config.review` is used. The data are those of the audit.
      folder: of an audit.

    Raises:
      InputError: if the folder holds no audit, its data or its decisions are of other images, the
        port is in use or Flask is missing.
      RunError: if another process holds the folder.
    """
    if config.review.read or config.review.write:
        with _opened(config.review, pathlib.Path(folder)) as (found, decided, _):
            exchange.run(config.review, found, decided)
        return
    waiting.until_stopped(serving(config, folder), 'Ctrl-C ends; every decision is saved at once.')


@contextlib.contextmanager
def serving(config, folder):
    """Context manager: serves the page in threads and yields its address; see `review`."""
    try:
        from bsce_tf.review import app
        from bsce_tf.web import server
    except ImportError as error:
        raise InputError(f'review: needs Flask ({error}); expected '
                         "`pip install 'bsce-tf[review]'`.") from error
    folder = pathlib.Path(folder)
    catalogue.check(folder)
    with server.bound(config.review.port, 'review.port') as listening, _opened(
            config.review, folder) as (found, decided, clean):
        token = secrets.token_urlsafe(16)
        with result.Writer(clean, decided) as writer, server.running(
                app.make(found, decided, token, writer), listening):
            yield server.address(listening, token)


@contextlib.contextmanager
def _opened(fields, folder):
    """Context manager of (`Catalogue`, `Store`, `Result`); at its end the clean list is written."""
    catalogue.check(folder)
    reviewer = fields.reviewer or _login()
    with workdir.locked(folder):
        found = catalogue.read(folder, fields.order, fields.sample)
        decided = store.Store(folder / store.NAME, found, reviewer)
        clean = result.Result(found, decided, fields.others)
        clean.write()
        yield found, decided, clean
        _tell(folder, decided, clean)


def _tell(folder, decided, clean):
    kept = clean.write()
    number = int((decided.status == store.DECIDED).sum())
    print(f'{folder / store.NAME}: decisions on {number:,} images. {clean.path}: {kept:,} images '
          f'of {len(decided.status):,} for --config.data.clean={files.address(clean.path)}.')


def _login():
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError) as error:
        raise InputError("review.reviewer: found '', and this machine tells no login name; "
                         'expected a name.') from error
