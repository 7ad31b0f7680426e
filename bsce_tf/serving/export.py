"""export(config, workdir): writes trained runs for TensorFlow Serving and for other programs."""

import pathlib
import tempfile
from typing import NamedTuple

import keras
import tensorflow as tf

from bsce_tf import files
from bsce_tf.errors import InputError
from bsce_tf.evaluation import adjust, networks, run_config
from bsce_tf.evaluation.neighbours import build
from bsce_tf.index import stored
from bsce_tf.serving import (
    card,
    check,
    fold,
    freeze,
    graph,
    neighbours,
    provenance,
    publish,
    samples,
)
from bsce_tf.serving.formats import servers, write
from bsce_tf.training import strategy, workdir


def export(config, folder):
    """Writes `<export.folder>/<export.name>/<version>/`, complete and checked or not at all.

    It has a SavedModel, model.onnx or model.tflite, as `export.format` says, and a model card;
    beside the versions are files for the servers. `graph.Graph` documents the inputs and outputs of
    the SavedModel, and `formats.answers.Answers` those of the others. All compute in float32,
    whatever precision the runs trained with.

    Args:
      config: ConfigDict; export.*, index.folder, neighbours.*, tta.scales, adjust.tau (with 'auto'
        also data and batch_size) and data.max_pixels are used. The rest comes from the runs.
      folder: of a trained run, or a string of folders with commas between: an ensemble.

    Returns:
      pathlib.Path of the version's folder.

    Raises:
      InputError: if a folder holds no trained run, the classes of two differ, no image is found to
        check with, the index of `export.by` is missing or of other runs, a format lacks an op of
        the network, or a field is not as expected.
      RunError: if the answers of a file differ from those of the models.
    """
    saved, others = _formats(config.export)
    publish.check_name(config.export.name)
    keras.mixed_precision.set_dtype_policy('float32')
    runs = [workdir.read(path) for path in run_config.folders(folder)]
    base = pathlib.Path(config.export.folder or runs[0].folder / 'export')
    publish.check_versions(base, config.export.name, saved, others)
    networks.check_classes(runs)
    taus = adjust.taus(config, runs, strategy.of_this_machine('one', 0))
    loaded = [adjust.adjusted(networks.of_run(run, config.tta.scales, 'float32'), run, tau)
              for run, tau in zip(runs, taus, strict=True)]
    write.require(others, loaded)
    index = neighbours.load(config, build.place_of(config, [run.folder for run in runs]), runs,
                            loaded)
    images = samples.load(runs[0], config.export.images, config.data.max_pixels)
    folded, notes = _folded(loaded, config.export.optimise)
    parts = _Parts(config, runs, taus, loaded, folded, index, images, notes)
    version, written = publish.write_version(base, config.export.name, lambda place: _write(
        place, parts, saved, others))
    if saved:
        publish.write_server_files(base, config.export.name)
    servers.write(version.parent, config.export.name, saved, others, len(runs) > 1)
    print(f'{version}: {len(runs[0].class_names):,} classes, {len(runs)} model(s), '
          f'{_size(version) / 1e6:.1f} MB; {"; ".join(notes or ["as trained"])}')
    for text in written:
        print(f'  {text}')
    return version


class _Parts(NamedTuple):
    """What an export is made of.

    Attributes:
      config: as in `export`.
      runs: list of `workdir.Run`.
      taus: of each, see `adjust.taus`.
      networks: their `Network`s, as trained.
      folded: the same, as they are written.
      index: `neighbours.Neighbours` or None.
      images: list of bytes to check with.
      notes: texts that say how `folded` differs.
    """

    config: object
    runs: list
    taus: list
    networks: list
    folded: list
    index: object
    images: list
    notes: list

    @property
    def views(self):
        """The `View` of each network."""
        return [network.view for network in self.networks]


def _formats(fields):
    """(whether a SavedModel is wanted, list of the other formats); what they need is there."""
    kinds = fields.format.split(',')
    saved, others = 'saved_model' in kinds, [kind for kind in kinds if kind != 'saved_model']
    if fields.by != 'classifier' and not saved:
        raise InputError(f'export.by: found {fields.by} with export.format = {fields.format}; '
                         'expected saved_model among the formats, as the others have no index.')
    if fields.weights != 'float32' and not others:
        raise InputError(f'export.weights: found {fields.weights} with export.format = '
                         f'{fields.format}, which has float32; expected onnx or litert among the '
                         'formats.')
    if saved:
        publish.require_messages()
    write.require(others)
    return saved, others


def _write(place, parts, saved, others):
    """Fills the folder of a version; returns texts that say what is in it."""
    fields, limit = parts.config.export, parts.config.data.max_pixels
    names = parts.runs[0].class_names
    written = write.write(
        place, others, fields.weights, parts.folded, parts.networks, names, fields.top_k,
        parts.images, lambda: samples.labelled(parts.config, parts.runs, fields.measured, limit),
        limit)
    texts = [file.text for file in written]
    if saved:
        _write_saved(place, parts, written)
        difference, of_cosines = check.compare(place, parts.networks, names, parts.images, limit,
                                               parts.index)
        text = f'SavedModel: probabilities differ by {difference:.1e} at most'
        if parts.index is not None:
            text += (f'; {len(parts.index.answerer.index):,} images of the index in '
                     f'{parts.index.kind}, cosines differ by {of_cosines:.1e}')
        texts.insert(0, text)
    else:
        (place / 'assets').mkdir()
        _describe(place / 'assets', parts, written)
    rejects = parts.index is not None and parts.index.limit is not None
    files.write_text(place / card.NAME, card.text(fields.name, parts.runs, parts.views, rejects,
                                                  written))
    return texts


def _write_saved(place, parts, written):
    fields, index = parts.config.export, parts.index
    members, note = _members(parts.folded, fields.freeze)
    parts.notes.extend(note)
    with tempfile.TemporaryDirectory() as folder:
        assets = _describe(pathlib.Path(folder), parts, written)
        if index is not None:
            found = index.answerer.index
            assets.append(stored.paths(found.folder, found.about['generation'])[1])
        model = graph.Graph(members, parts.runs[0].class_names, top_k=fields.top_k, assets=assets,
                            max_pixels=parts.config.data.max_pixels, bad_image=fields.bad_image,
                            neighbours=index)
        # The SavedModel is not trained further, so custom gradients need not be saved.
        options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
        tf.saved_model.save(model, str(place), signatures=model.signatures(), options=options)
    publish.write_warm_up(place, fields.name, parts.images, ['neighbours'] if index else [])


def _describe(folder, parts, written):
    """Writes the files that say where an export comes from; returns their paths."""
    return provenance.write(folder, parts.runs, parts.views, {
        'export': parts.config.export.to_dict(), 'max_pixels': parts.config.data.max_pixels,
        'adjust_tau': parts.taus, 'notes': parts.notes,
        'files': [file._asdict() for file in written]})


def _folded(loaded, optimise):
    """(list of `Network`s, list of texts that say what was done to them)."""
    if not optimise:
        return loaded, []
    folded = [fold.fold_batch_norms(network.body) for network in loaded]
    return ([network._replace(body=body)
             for network, (body, _) in zip(loaded, folded, strict=True)],
            [f'{sum(number for _, number in folded)} BatchNorms folded'])


def _members(loaded, frozen):
    """(list of `graph.Member`, list of texts that say what was done to the `Network`s)."""
    size = freeze.size_of(model for network in loaded for model in (network.body, network.head))
    if frozen and size <= freeze.LARGEST:
        return [_frozen(network) for network in loaded], ['weights frozen']
    return [graph.Member(network) for network in loaded], (
        [f'weights not frozen, as {size / 1e9:.1f} GB do not fit into a graph'] if frozen else [])


def _frozen(network):
    scales, *crop = network.view.shape
    features = [None, scales, network.body.output.shape[-1]]
    return graph.Member(
        network, freeze.freeze(network.features, tf.TensorSpec([None, scales, *crop], tf.uint8)),
        freeze.freeze(network.logits, tf.TensorSpec(features, tf.float32)))


def _size(folder):
    return sum(path.stat().st_size for path in folder.rglob('*') if path.is_file())
