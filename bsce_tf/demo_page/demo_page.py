"""demo_page(config, workdir): a page on which one drops a picture and sees the model's answer."""

import contextlib
import secrets

from bsce_tf.demo_page import answers
from bsce_tf.errors import InputError
from bsce_tf.web import waiting


def demo_page(config, folder):
    """Serves the page until Ctrl-C, on this machine alone.

    It shows the best classes of a picture with example pictures of each, the crops that the network
    sees, and for several models the votes. Nothing is written, and no picture leaves the machine.

    Args:
      config: ConfigDict; demo_page, tta, adjust, predict.model, predict.top_k and data are used.
      folder: of a trained run, or a string of folders with commas between, which vote. With
        `predict.model`, the SavedModel answers in place of runs.

    Raises:
      InputError: if there is no trained run or model, the port is in use or Flask is missing.
    """
    waiting.until_stopped(serving(config, folder), 'Ctrl-C ends.')


@contextlib.contextmanager
def serving(config, folder):
    """Context manager: serves the page in threads and yields its address; see `demo_page`."""
    try:
        from bsce_tf.demo_page import app
        from bsce_tf.web import server
    except ImportError as error:
        raise InputError(f'demo_page: needs Flask ({error}); expected '
                         "`pip install 'bsce-tf[demo]'`.") from error
    with server.bound(config.demo_page.port, 'demo_page.port') as listening:
        model = answers.load(config, folder)
        model.warm_up()
        token = secrets.token_urlsafe(16)
        with server.running(app.make(model, token), listening):
            yield server.address(listening, token)
