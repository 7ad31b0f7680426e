"""Requests to a server over REST or gRPC. REST needs no TensorFlow in the client."""

import base64
import re
import time
import urllib.parse

from bsce_tf.errors import InputError, RunError

_FIRST_WAIT, _LONGEST_WAIT = 0.25, 8.0  # seconds before a further try; the wait doubles each time
_KEYS = ('class_names', 'scores')
_INSTALL = "the client needs {}: pip install 'bsce-tf[serving]'"


class BadImageError(RunError):
    """The server cannot use an image of the request, and names it.

    Attributes:
      index: index of the image in the request.
    """

    def __init__(self, message):
        super().__init__(message)
        self.index = int(_BAD_IMAGE.search(message)[1])


_BAD_IMAGE = re.compile(r'image_bytes\[(\d+)\] [^\]\n]*')


def connect(url, model='bsce_tf', timeout=60.0, retries=4):
    """Returns a function that asks a server.

    Args:
      url: `http://host:port/v1/models/NAME` (also https, and also with /versions/N), or
        `grpc://host:port`, also with /NAME.
      model: name of the model, if the URL has none.
      timeout: seconds for one try.
      retries: further tries, each after twice the wait, if there is no connection or the server
        is unavailable (HTTP 503, gRPC UNAVAILABLE).

    Returns:
      Function: list of n bytes (encoded images) → list of n lists of (class name, probability),
      best first; a name is empty if the server could not use the image. It raises RunError if the
      server cannot be reached or its answer is invalid, and `BadImageError` for a bad image.

    Raises:
      InputError: if the URL is not valid.
    """
    parts = urllib.parse.urlsplit(url)
    try:
        good = parts.hostname and (parts.port or parts.scheme in ('http', 'https'))
    except ValueError:  # the port is no number
        good = False
    if not good or parts.scheme not in ('http', 'https', 'grpc'):
        raise InputError(f"--url: found '{url}'; expected http://host:port/v1/models/NAME or "
                         'grpc://host:port/NAME.')
    name = parts.path.strip('/')
    if parts.scheme == 'grpc':
        return _grpc(url, parts.netloc, name or model, timeout, retries)
    address = url.rstrip('/') if name else f'{url.rstrip("/")}/v1/models/{model}'
    return _rest(f'{address}:predict', timeout, retries)


def _rest(url, timeout, retries):
    try:
        import requests
    except ImportError as error:
        raise InputError(_INSTALL.format('requests')) from error
    session = requests.Session()

    def post(images):
        body = {'signature_name': 'serving_default', 'instances': [
            {'image_bytes': {'b64': base64.b64encode(data).decode()}} for data in images]}
        try:
            response = session.post(url, json=body, timeout=timeout)
        except requests.ReadTimeout as error:
            raise RunError(f'{url}: no answer within {timeout:g} s') from error
        except requests.ConnectionError as error:
            raise _TryAgain(f'{url}: no connection ({_reason(error)})') from error
        except requests.RequestException as error:
            raise InputError(f"--url: found '{url}': {error}") from error
        if response.status_code == 503:
            raise _TryAgain(f'{url}: the server is not available (HTTP 503)')
        return response

    def ask(images):
        response = _again(lambda: post(images), retries)
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if response.status_code != 200:
            told = answer.get('error') if isinstance(answer, dict) else None
            _refused(url, f'HTTP {response.status_code}', told or response.reason)
        try:
            rows = [[row[key] for key in _KEYS] for row in answer['predictions']]
        except (KeyError, TypeError) as error:
            raise _strange(url) from error
        return _checked(url, rows, len(images))

    return ask


def _grpc(url, address, model, timeout, retries):
    try:
        import grpc
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc
    except ImportError as error:
        raise InputError(_INSTALL.format('tensorflow-serving-api')) from error
    channel = grpc.insecure_channel(address, options=[
        (f'grpc.max_{way}_message_length', -1) for way in ('send', 'receive')])
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)

    def call(request):
        try:
            return stub.Predict(request, timeout=timeout)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.UNAVAILABLE:
                raise _TryAgain(f'{url}: no connection ({error.details()})') from error
            if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
                raise RunError(f'{url}: no answer within {timeout:g} s') from error
            return _refused(url, f'gRPC {error.code().name}', error.details())

    def ask(images):
        request = predict_pb2.PredictRequest()
        request.model_spec.name = model
        request.model_spec.signature_name = 'serving_default'
        request.inputs['image_bytes'].CopyFrom(tf.make_tensor_proto(images, tf.string))
        outputs = _again(lambda: call(request), retries).outputs
        try:
            names, scores = (tf.make_ndarray(outputs[key]).tolist() for key in _KEYS)
            rows = [[[name.decode() for name in row], values]
                    for row, values in zip(names, scores, strict=True)]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise _strange(url) from error
        return _checked(url, rows, len(images))

    return ask


class _TryAgain(RunError):  # noqa: N818 - not an error until the tries are used up
    pass


def _again(attempt, retries):
    wait = _FIRST_WAIT
    for left in range(retries, -1, -1):
        try:
            return attempt()
        except _TryAgain as error:
            if not left:
                tries = 'once' if not retries else f'{retries + 1} times'
                raise RunError(f'{error}; tried {tries}') from error
        time.sleep(wait)
        wait = min(2 * wait, _LONGEST_WAIT)
    return None


def _refused(url, status, message):
    message = str(message)  # the message of a gateway may be no text
    found = _BAD_IMAGE.search(message)
    if found:
        raise BadImageError(found[0])
    raise RunError(f'{url}: {status}: {message}')


def _checked(url, rows, images):
    """[[(name, score), …], …] of [[names, scores], …]."""
    try:
        answers = [[(str(name), float(score)) for name, score in zip(*row, strict=True)]
                   for row in rows]
    except (TypeError, ValueError) as error:
        raise _strange(url) from error
    if len(answers) != images or not all(answers):
        raise _strange(url)
    return answers


def _strange(url):
    return RunError(f'{url}: not an answer of a model exported by --mode=export; expected '
                    f'{" and ".join(_KEYS)} for every image')


def _reason(error):
    """The innermost cause, without memory addresses."""
    found = re.findall(r'\[Errno -?\d+\] ([^\'")]+)|(refused|reset|resolve|aborted)', str(error))
    return next((text or word for text, word in found), type(error).__name__)
