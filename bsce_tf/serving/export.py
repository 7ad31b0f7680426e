"""export(config, workdir): writes trained runs as a SavedModel for TensorFlow Serving."""

import pathlib
import tempfile

import keras
import tensorflow as tf

from bsce_tf import files
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
from bsce_tf.training import strategy, workdir


def export(config, folder):
    """Writes `<export.folder>/<export.name>/<version>/`, complete and checked or not at all.

    Also writes a model card, and models.config and batching.config for the server. `graph.Graph`
    documents the inputs and outputs of the SavedModel. It computes in float32, whatever precision
    the runs trained with.

    Args:
      config: ConfigDict; export.*, index.folder, neighbours.*, tta.scales, adjust.tau (with 'auto'
        also data and batch_size) and data.max_pixels are used. The rest comes from the runs.
      folder: of a trained run, or a string of folders with commas between: an ensemble.

    Returns:
      pathlib.Path of the version's folder.

    Raises:
      InputError: if a folder holds no trained run, the classes of two differ, no image is found to
        check with, the index of `export.by` is missing or of other runs, or a field is not as
        expected.
      RunError: if the SavedModel's answers differ from those of the models.
    """
    fields = config.export
    publish.check_name(fields.name)
    publish.require_messages()
    keras.mixed_precision.set_dtype_policy('float32')
    runs = [workdir.read(path) for path in run_config.folders(folder)]
    networks.check_classes(runs)
    taus = adjust.taus(config, runs, strategy.of_this_machine('one', 0))
    loaded = [adjust.adjusted(networks.of_run(run, config.tta.scales, 'float32'), run, tau)
              for run, tau in zip(runs, taus, strict=True)]
    names = runs[0].class_names
    index = neighbours.load(config, build.place_of(config, [run.folder for run in runs]), runs,
                            loaded)
    images = samples.load(runs[0], fields.images, config.data.max_pixels)
    members, notes = _members(loaded, fields.optimise, fields.freeze)
    base = pathlib.Path(fields.folder or runs[0].folder / 'export')

    def write(place):
        with tempfile.TemporaryDirectory() as folder:
            assets = provenance.write(pathlib.Path(folder), runs, [x.view for x in loaded], {
                'export': fields.to_dict(), 'max_pixels': config.data.max_pixels,
                'adjust_tau': taus, 'notes': notes})
            if index is not None:
                found = index.answerer.index
                assets.append(stored.paths(found.folder, found.about['generation'])[1])
            model = graph.Graph(members, names, top_k=fields.top_k, assets=assets,
                                max_pixels=config.data.max_pixels, bad_image=fields.bad_image,
                                neighbours=index)
            # The SavedModel is not trained further, so custom gradients need not be saved.
            options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
            tf.saved_model.save(model, str(place), signatures=model.signatures(), options=options)
        files.write_text(place / card.NAME, card.text(
            fields.name, runs, [x.view for x in loaded], bool(index) and index.limit is not None))
        publish.write_warm_up(place, fields.name, images, ['neighbours'] if index else [])
        return check.compare(place, loaded, names, images, config.data.max_pixels, index)

    version, (difference, of_cosines) = publish.write_version(base, fields.name, write)
    publish.write_server_files(base, fields.name)
    print(f'{version}: {len(names):,} classes, {len(runs)} model(s), '
          f'{_size(version) / 1e6:.1f} MB; {"; ".join(notes)}; answers to {len(images)} images '
          f'differ from the models\' by {difference:.1e} at most' + (
              f'; {len(index.answerer.index):,} images of the index in {index.kind}, cosines '
              f'differ by {of_cosines:.1e}' if index else ''))
    return version


def _members(loaded, optimise, frozen):
    """(list of `graph.Member`, list of texts that say what was done to the `Network`s)."""
    notes = []
    if optimise:
        folded = [fold.fold_batch_norms(network.body) for network in loaded]
        loaded = [network._replace(body=body)
                  for network, (body, _) in zip(loaded, folded, strict=True)]
        notes.append(f'{sum(number for _, number in folded)} BatchNorms folded')
    size = freeze.size_of(model for network in loaded for model in (network.body, network.head))
    if frozen and size <= freeze.LARGEST:
        return [_frozen(network) for network in loaded], [*notes, 'weights frozen']
    if frozen:
        notes.append(f'weights not frozen, as {size / 1e9:.1f} GB do not fit into a graph')
    return [graph.Member(network) for network in loaded], notes or ['as trained']


def _frozen(network):
    scales, *crop = network.view.shape
    features = [None, scales, network.body.output.shape[-1]]
    return graph.Member(
        network, freeze.freeze(network.features, tf.TensorSpec([None, scales, *crop], tf.uint8)),
        freeze.freeze(network.logits, tf.TensorSpec(features, tf.float32)))


def _size(folder):
    return sum(path.stat().st_size for path in folder.rglob('*') if path.is_file())
