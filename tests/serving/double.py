"""A test double of TensorFlow Serving: its two protocols on this machine, around a real SavedModel.

REST as in https://www.tensorflow.org/tfx/serving/api_rest (predict, row format), gRPC by the
messages of tensorflow-serving-api. It has no batching, no versions and none of the server's speed;
it tells what a client sends and gives back what the model says.
"""

import base64
import contextlib
import http.server
import json
import threading
from concurrent import futures

import grpc
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc


class Double:
    """Both servers.

    Args:
      folder: of a SavedModel.
      name: of the model.

    Attributes:
      failures: how many requests are still to be refused as 'not available' (503, UNAVAILABLE).
      instead: what to answer instead of the model: (status, body), for REST only.
      sizes: number of images of each request that reached the model.
    """

    def __init__(self, folder, name='bsce_tf'):
        self._signatures = tf.saved_model.load(str(folder)).signatures
        self.name, self.failures, self.instead, self.sizes = name, 0, None, []

    def run(self, signature, inputs):
        """{output: tensor} of {input: array}."""
        self.sizes.append(len(*inputs.values()))
        return self._signatures[signature](**{n: tf.constant(x) for n, x in inputs.items()})

    def refuses(self):
        self.failures -= 1
        return self.failures >= 0

    @contextlib.contextmanager
    def serving(self):
        """Yields (URL for REST, URL for gRPC)."""
        rest = http.server.ThreadingHTTPServer(('127.0.0.1', 0), _handler(self))
        threading.Thread(target=rest.serve_forever, daemon=True).start()
        rpc = grpc.server(futures.ThreadPoolExecutor(2))
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(_Servicer(self), rpc)
        port = rpc.add_insecure_port('127.0.0.1:0')
        rpc.start()
        try:
            yield (f'http://127.0.0.1:{rest.server_port}/v1/models/{self.name}',
                   f'grpc://127.0.0.1:{port}/{self.name}')
        finally:
            rest.shutdown()
            rest.server_close()
            rpc.stop(None)


def _handler(double):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):  # noqa: N802 - the name is http.server's
            body = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
            status, answer = self._answer(body)
            data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header('Content-Length', str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _answer(self, body):
            if double.instead:
                return double.instead
            if double.refuses():
                return 503, {'error': 'not available'}
            if self.path != f'/v1/models/{double.name}:predict':
                return 404, {'error': 'Servable not found for request'}
            images = [base64.b64decode(x['image_bytes']['b64']) for x in body['instances']]
            try:
                found = double.run(body['signature_name'], {'image_bytes': images})
            except tf.errors.InvalidArgumentError as error:
                return 400, {'error': error.message}
            columns = {name: x.numpy().tolist() for name, x in found.items()}
            columns['class_names'] = [[x.decode() for x in row] for row in columns['class_names']]
            return 200, {'predictions': [dict(zip(columns, row, strict=True))
                                         for row in zip(*columns.values(), strict=True)]}

        def log_message(self, *_):
            pass

    return Handler


class _Servicer(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, double):
        self._double = double

    def Predict(self, request, context):  # noqa: N802 - the name is the protocol's
        if self._double.refuses():
            context.abort(grpc.StatusCode.UNAVAILABLE, 'not available')
        if request.model_spec.name != self._double.name:
            context.abort(grpc.StatusCode.NOT_FOUND, 'Servable not found for request')
        inputs = {name: tf.make_ndarray(x) for name, x in request.inputs.items()}
        try:
            found = self._double.run(request.model_spec.signature_name, inputs)
        except tf.errors.InvalidArgumentError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, error.message)
        response = predict_pb2.PredictResponse()
        for name, value in found.items():
            response.outputs[name].CopyFrom(tf.make_tensor_proto(value.numpy()))
        return response
