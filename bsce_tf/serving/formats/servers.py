"""Files for Triton and KServe, written once: what a user changes in them stays.

Neither server was run with them.
"""

import re

from bsce_tf import files

TRITON, KSERVE = 'config.pbtxt', 'kserve.yaml'
_KINDS = {'class_names': 'TYPE_STRING', 'class_ids': 'TYPE_INT32', 'scores': 'TYPE_FP32',
          'votes': 'TYPE_INT32'}


def write(folder, name, saved, others, several):
    """Adds the files that are missing to the folder of a model, beside its versions.

    Args:
      folder: pathlib.Path, `<export.folder>/<export.name>`, which Triton takes as it is.
      name: of the model.
      saved: whether the export has a SavedModel.
      others: list of its other formats.
      several: whether several models vote.
    """
    if 'onnx' in others:
        outputs = [key for key in _KINDS if several or key != 'votes']
        _once(folder / TRITON, _triton(name, outputs))
    if saved or 'onnx' in others:
        _once(folder / KSERVE, _kserve(name, 'onnx' in others))


def _once(path, text):
    if not path.exists():
        files.write_text(path, text)
    elif path.read_text(encoding='utf-8', errors='replace') != text:
        print(f'{path}: stays as it is, though this export would write it otherwise. Delete it, '
              'and the next export writes it.')


def _triton(name, outputs):
    told = ',\n'.join(f'  {{ name: "{output}" data_type: {_KINDS[output]} dims: [ -1 ] }}'
                      for output in outputs)
    return (f'# tritonserver --model-repository=FOLDER_ABOVE --model-control-mode=explicit '
            f'--load-model={name}\n'
            f'name: "{name}"\nbackend: "onnxruntime"\n'
            '# Requests of images of one height and width are joined, up to this many images.\n'
            'max_batch_size: 16\ndynamic_batching { max_queue_delay_microseconds: 2000 }\n'
            'input [\n  { name: "images" data_type: TYPE_UINT8 dims: [ -1, -1, 3 ] }\n]\n'
            f'output [\n{told}\n]\n')


def _kserve(name, by_triton):
    server = 'triton' if by_triton else 'tensorflow'
    place = ('a folder that holds this folder alone' if by_triton else 'this folder')
    kubernetes = re.sub('[^a-z0-9]+', '-', name.lower()).strip('-')
    if not kubernetes[:1].isalpha():
        kubernetes = f'model-{kubernetes}'.strip('-')
    version = '      protocolVersion: v2\n' if by_triton else ''
    return (f'# kubectl apply -f {KSERVE}, after a copy of {place} was put at storageUri.\n'
            'apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\n'
            f'metadata:\n  name: {kubernetes[:50].strip("-")}\nspec:\n  predictor:\n    model:\n'
            f'      modelFormat:\n        name: {server}\n{version}'
            '      storageUri: s3://fill-in/models\n')
