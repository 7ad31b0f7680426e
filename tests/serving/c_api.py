"""Runs a SavedModel through TensorFlow's C library: no Python of TensorFlow's, none of ours.

  python c_api.py FOLDER_OF_TENSORFLOW'S_LIBRARIES FOLDER_OF_THE_MODEL < tasks > answers

It reads lines of {"input": tensor, "outputs": {name: tensor}, "requests": [[base64, …], …]} and
writes a line for each: {"answers": [{"outputs": {name: nested lists}} or {"code": c, "error": text}
for each request], "rss": [bytes held after each]}.
"""

import base64
import ctypes
import json
import math
import pathlib
import sys

import numpy as np

FLOAT, INT32, STRING, INT64 = 1, 3, 7, 9  # of TF_DataType
STRING_BYTES = 24  # of a TF_TString


class Output(ctypes.Structure):
    """TF_Output."""

    _fields_ = [('operation', ctypes.c_void_p), ('index', ctypes.c_int)]


class Library:
    """TensorFlow's C functions, all with pointers as results unless said otherwise."""

    RESULTS = {'TF_GetCode': ctypes.c_int, 'TF_Message': ctypes.c_char_p,
               'TF_NumDims': ctypes.c_int, 'TF_Dim': ctypes.c_int64, 'TF_TensorType': ctypes.c_int,
               'TF_StringGetSize': ctypes.c_size_t}

    def __init__(self, folder):
        folder = pathlib.Path(folder)
        self._libraries = [ctypes.CDLL(str(folder / name), ctypes.RTLD_GLOBAL) for name in (
            'libtensorflow_framework.so.2', 'libtensorflow_cc.so.2')]

    def __getattr__(self, name):
        for library in self._libraries:
            function = getattr(library, name, None)
            if function is not None:
                function.restype = self.RESULTS.get(name, ctypes.c_void_p)
                setattr(self, name, function)
                return function
        raise AttributeError(name)


class TensorFlowError(Exception):
    """A status that is not OK: (code, message)."""


class Session:
    """A loaded SavedModel."""

    def __init__(self, library, folder):
        self.tf = library
        self._status = ctypes.c_void_p(library.TF_NewStatus())
        self._graph = ctypes.c_void_p(library.TF_NewGraph())
        options = ctypes.c_void_p(library.TF_NewSessionOptions())
        tags = (ctypes.c_char_p * 1)(b'serve')
        self._session = ctypes.c_void_p(library.TF_LoadSessionFromSavedModel(
            options, None, str(folder).encode(), tags, 1, self._graph, None, self._status))
        self._check()

    def run(self, tensor, strings, outputs):
        """{name: array} for one input of strings [n]; `outputs` is {name: 'operation:index'}."""
        value = self._string_tensor(strings)
        inputs = (Output * 1)(self._output(tensor))
        wanted = (Output * len(outputs))(*map(self._output, outputs.values()))
        results = (ctypes.c_void_p * len(outputs))()
        self.tf.TF_SessionRun(
            self._session, None, inputs, (ctypes.c_void_p * 1)(value), 1, wanted, results,
            len(outputs), None, 0, None, self._status)
        self._free(value, len(strings))
        self._check()
        return {name: self._array(result) for name, result in zip(outputs, results, strict=True)}

    def _check(self):
        code = self.tf.TF_GetCode(self._status)
        if code:
            raise TensorFlowError(code, self.tf.TF_Message(self._status).decode('utf-8', 'replace'))

    def _output(self, name):
        operation, _, index = name.partition(':')
        found = self.tf.TF_GraphOperationByName(self._graph, operation.encode())
        if not found:
            raise SystemExit(f'{name}: no such operation')
        return Output(found, int(index))

    def _string_tensor(self, strings):
        shape = (ctypes.c_int64 * 1)(len(strings))
        tensor = self.tf.TF_AllocateTensor(STRING, shape, 1,
                                           ctypes.c_size_t(STRING_BYTES * len(strings)))
        start = self.tf.TF_TensorData(ctypes.c_void_p(tensor))
        for i, text in enumerate(strings):
            place = ctypes.c_void_p(start + STRING_BYTES * i)
            self.tf.TF_StringInit(place)
            self.tf.TF_StringCopy(place, text, ctypes.c_size_t(len(text)))
        return tensor

    def _free(self, tensor, strings=0):
        tensor = ctypes.c_void_p(tensor)
        start = self.tf.TF_TensorData(tensor)
        for i in range(strings):
            self.tf.TF_StringDealloc(ctypes.c_void_p(start + STRING_BYTES * i))
        self.tf.TF_DeleteTensor(tensor)

    def _array(self, result):
        tensor = ctypes.c_void_p(result)
        shape = [self.tf.TF_Dim(tensor, i) for i in range(self.tf.TF_NumDims(tensor))]
        count, kind = math.prod(shape), self.tf.TF_TensorType(tensor)
        start = self.tf.TF_TensorData(tensor)
        if kind == STRING:
            values = []
            for i in range(count):
                place = ctypes.c_void_p(start + STRING_BYTES * i)
                values.append(ctypes.string_at(self.tf.TF_StringGetDataPointer(place),
                                               self.tf.TF_StringGetSize(place)).decode())
            array = np.array(values, object).reshape(shape)
        else:
            dtype = np.dtype({FLOAT: np.float32, INT32: np.int32, INT64: np.int64}[kind])
            array = np.frombuffer(ctypes.string_at(start, dtype.itemsize * count) if count else b'',
                                  dtype)
            array = array.reshape(shape)
        self._free(result, count if kind == STRING else 0)
        return array


def held():
    """Bytes of memory that this process holds."""
    for line in pathlib.Path('/proc/self/status').read_text().splitlines():
        if line.startswith('VmRSS'):
            return int(line.split()[1]) * 1024
    return 0


def main():
    session = Session(Library(sys.argv[1]), sys.argv[2])
    for line in sys.stdin:
        found = answer(session, json.loads(line))
        assert 'tensorflow' not in sys.modules
        assert 'bsce_tf' not in sys.modules
        print(json.dumps(found), flush=True)


def answer(session, task):
    answers, rss = [], []
    for request in task['requests']:
        try:
            found = session.run(task['input'], [base64.b64decode(x) for x in request],
                                task['outputs'])
            answers.append({'outputs': {name: x.tolist() for name, x in found.items()}})
        except TensorFlowError as error:
            answers.append(dict(zip(('code', 'error'), error.args, strict=True)))
        rss.append(held())
    return {'answers': answers, 'rss': rss}


if __name__ == '__main__':
    main()
