"""export(config, workdir): trained runs → a SavedModel that TensorFlow Serving takes as it is."""

import functools
import pathlib
import tempfile

import keras
import tensorflow as tf

from bsce_tf.evaluation import adjust, members, run_config
from bsce_tf.serving import check, fold, freeze, graph, provenance, publish, samples
from bsce_tf.training import strategy, workdir


def export(config, folder):
    """Writes `<export.folder>/<export.name>/<version>/`, complete and checked or not at all.

    Beside it lie models.config and batching.config for the server. See `graph.Graph` for what the
    SavedModel takes and gives. It computes in float32, whatever the runs trained with.

    Args:
      config: ConfigDict of the command line: export.*, tta.scales, adjust.tau (with
        'auto' also data and batch_size) and data.max_pixels count; the
        rest comes from the runs.
      folder: of a trained run, or of several with commas between them: an ensemble.

    Returns:
      pathlib.Path of the version's folder.

    Raises:
      InputError: if a folder holds no trained run, the classes of two differ, no image is found to
        check with, or a field is not as expected.
      RunError: if the SavedModel's answers are not those of the models.
    """
    fields = config.export
    publish.check_name(fields.name)
    publish.require_messages()
    keras.mixed_precision.set_dtype_policy('float32')
    parts, taus = _load(folder, config)
    run = parts[0].run
    images = samples.load(run, fields.images, config.data.max_pixels)
    made, notes = _parts(parts, fields.optimise, fields.freeze)
    base = pathlib.Path(fields.folder or run.folder / 'export')

    def write(place):
        with tempfile.TemporaryDirectory() as folder:
            assets = provenance.write(pathlib.Path(folder), parts, {
                'export': fields.to_dict(), 'max_pixels': config.data.max_pixels,
                'adjust_tau': taus, 'notes': notes})
            model = graph.Graph(made, run.class_names, top_k=fields.top_k, assets=assets,
                                max_pixels=config.data.max_pixels, bad_image=fields.bad_image)
            # Nobody trains on: gradients of our own would have to be exported as well.
            options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
            tf.saved_model.save(model, str(place), signatures=model.signatures(), options=options)
        publish.write_warm_up(place, fields.name, images)
        return check.compare(place, parts, images, config.data.max_pixels)

    version, difference = publish.write_version(base, fields.name, write)
    publish.write_server_files(base, fields.name)
    print(f'{version}: {len(run.class_names):,} classes, {len(parts)} model(s), '
          f'{_size(version) / 1e6:.1f} MB; {"; ".join(notes)}; answers to {len(images)} images '
          f'differ from the models\' by {difference:.1e} at most')
    return version


def _load(folder, config):
    """(`members.Member` of each run, their τ)."""
    runs = [workdir.read(path) for path in run_config.folders(folder)]
    members.check_runs(runs)
    taus = adjust.taus(config, runs, strategy.of_this_machine('one', 0))
    return [adjust.adjusted(members.of_run(run, config.tta.scales, 'float32'), tau)
            for run, tau in zip(runs, taus, strict=True)], taus


def _parts(parts, optimise, frozen):
    """(the graph's parts, what was done to them in words)."""
    notes = []
    if optimise:
        folded = [fold.fold_batch_norms(member.body) for member in parts]
        parts = [member._replace(body=body)
                 for member, (body, _) in zip(parts, folded, strict=True)]
        notes.append(f'{sum(number for _, number in folded)} BatchNorms folded')
    size = freeze.size_of(model for member in parts for model in (member.body, member.head))
    if frozen and size <= freeze.LARGEST:
        return [_frozen(member) for member in parts], [*notes, 'weights frozen']
    if frozen:
        notes.append(f'weights not frozen, as {size / 1e9:.1f} GB do not fit into a graph')
    return [graph.Part(member) for member in parts], notes or ['as trained']


def _frozen(member):
    shape = [None, len(member.scales), member.size, member.size, member.channels]
    width = member.body.output.shape[-1]
    return graph.Part(
        member,
        freeze.freeze(functools.partial(members.features_of, member),
                      tf.TensorSpec(shape, tf.uint8)),
        freeze.freeze(functools.partial(members.logits_of, member),
                      tf.TensorSpec([None, shape[1], width], tf.float32)))


def _size(folder):
    return sum(path.stat().st_size for path in folder.rglob('*') if path.is_file())
