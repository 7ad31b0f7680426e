"""Rows of the table of fields: what the modes do with a trained run."""

from bsce_tf.fields.field import AUDIT, DATA, LATER, ROUNDS, Field
from bsce_tf.fields.rules import (
    BOOLEAN,
    MAYBE_SIZES,
    NAMES,
    PATH,
    TEXT,
    integer,
    number,
    number_or,
    one_of,
    some_of,
)

ROWS = {
    'inspect.near_copies': Field(0.0, number(0, 1),
        'inspect: least correlation of 16 × 16 pixels of two images that are called near-copies, '
        'such as 0.99; those of different sets are listed. 0: images are not decoded.', LATER),
    'pack.side': Field(0, integer(0),
        'pack: longest shorter side of a packed image, in pixels. A larger image is shrunk and '
        'written as JPEG, upright and on white. 0: all images stay byte for byte.', LATER),
    'pack.quality': Field(90, integer(1, 100), 'pack.side: quality of the JPEGs.', LATER),
    'tta.scales': Field((), MAYBE_SIZES,
        'Test time: sizes S, in pixels, whose central crops the features are averaged over. (): '
        'image.scales.', AUDIT),
    'adjust.tau': Field(0.0, number_or(('auto',), 0, 10),
        'Logit adjustment after training: τ·log π is subtracted from the logits, π the class '
        'shares in training. 0: off. auto: the best τ on validation.', LATER),
    'index.folder': Field('', PATH,
        'Folder of the index. Empty: index in the first --workdir.', LATER),
    'index.input': Field('', PATH,
        'Images to add, with labels: a folder with one folder for each class, or a table with the '
        'columns data.image_column and data.label_column. Empty: the training images of '
        'config.data, also those of data.unseen_classes.', LATER),
    'index.classes': Field('all', one_of('all', 'seen'),
        'Images of which classes to add: all, or only those that the runs were trained on '
        '(seen).', LATER),
    'index.remove': Field('', PATH,
        'Remove images instead of adding any: a table whose column data.image_column has their '
        'paths as rows-….csv of the index has them.', LATER),
    'index.remove_classes': Field((), NAMES,
        'Remove all images of these classes instead of adding any.', LATER),
    'index.kind': Field('auto', one_of('auto', 'exact', 'ivf', 'ivf_pq'),
        'Kind of the index: exact; ivf (cells, vectors in float16); ivf_pq (cells, compressed '
        'vectors). auto: exact up to 200,000 images, ivf up to 5 million, else ivf_pq.', LATER),
    'index.probes': Field(32, integer(1),
        'ivf, ivf_pq: cells that a search looks into. More finds more of the true neighbours, and '
        'takes longer.', LATER),

    'neighbours.k': Field(10, integer(1), 'Nearest images of the index that vote.', LATER),
    'neighbours.temperature': Field(0.07, number(0, open_low=True),
        'T: a neighbour of cosine s votes with the weight exp(s / T).', LATER),
    'neighbours.mix': Field(0.5, number(0, 1),
        'both: λ, share of the neighbours; that of the classifier is 1 − λ.', LATER),
    'neighbours.reject': Field('off', number_or(('off', 'auto'), -1, 1),
        'predict, export: answer "not in the catalogue" where the nearest image has a smaller '
        'cosine than this. off: never. auto: the threshold that --mode=evaluate chose.', LATER),

    'evaluate.depth': Field(100, integer(1),
        'Neighbours that the mean average precision looks at, at most.', LATER),
    'evaluate.false_accept_rate': Field(0.05, number(0, 1),
        'Share of images of unknown products that may be accepted; the threshold of '
        'neighbours.reject=auto is chosen for it.', LATER),
    'evaluate.output': Field('', PATH,
        'Folder for the tables of several runs. Empty: the first --workdir.', LATER),

    'audit.folds': Field(5, integer(2),
        'Networks to train; each predicts the images that it was not trained on.', AUDIT),
    'audit.model': Field('', PATH,
        '--workdir of a run on other images, which predicts all images. Empty: train audit.folds '
        'networks.', AUDIT),
    'audit.top_k': Field(20, integer(2),
        'Classes to keep for each image, the most probable ones.', AUDIT),
    'audit.score': Field('self_confidence',
        one_of('self_confidence', 'normalized_margin', 'adjusted_self_confidence',
               'adjusted_margin'),
        'Score that sorts the list of wrong labels; see bsce_tf/audit/confident.py.', ROUNDS),
    'audit.rule': Field('drop', one_of('drop', 'relabel'),
        'What to do with listed images: drop all, or relabel those whose suggested label is sure '
        'and drop the others.', ROUNDS),
    'audit.threshold_factor': Field(0.5, number(0, open_low=True),
        'Listed images are dropped or relabelled only where their label is less probable than this '
        '× the mean of its class. 1000: no such limit.', ROUNDS),
    'audit.min_images_per_class': Field(5, integer(1),
        'Every class keeps at least this many of its images.', ROUNDS),
    'audit.rounds': Field(1, integer(1), 'clean_train: rounds of audit and training.', LATER),
    'audit.duplicate_similarity': Field(0.98, number(0, 1),
        'Smallest cosine similarity of the features of near-duplicates. 0: no search.', LATER),

    'audit.reviewed': Field('', TEXT,
        "decisions.jsonl of the --mode=review of an earlier audit, or several files, 'A,B', of "
        'which the later counts. Their labels are taken as right: removed images are left out, '
        'the others have the label of the decision, and none is listed again. They may be '
        'addresses. Empty: none.', DATA),

    'review.order': Field('gain', one_of('gain', 'share', 'audit'),
        'Order of the wrong labels: by the expected gain for the mean top-1 error (gain), by '
        "P(wrong) / images of the given class (share), or by the audit's score (audit); see "
        'bsce_tf/review/order.py.', LATER),
    'review.sample': Field(0, integer(0),
        "Images of each class in the list 'drawn at random', which makes an even set for "
        'data.trusted. 0: no such list.', LATER),
    'review.others': Field('given', one_of('given', 'cleaned'),
        'reviewed.csv has the images on which nobody decided as they were audited (given), or as '
        'cleaned.csv has them, some left out or relabelled (cleaned).', LATER),
    'review.port': Field(8765, integer(0, 65535),
        'Port of the page, on this machine alone. 0: any that is free.', LATER),
    'review.reviewer': Field('', TEXT,
        'Name to write beside each decision. Empty: the login name.', LATER),
    'review.program': Field('label_studio', one_of('label_studio', 'fiftyone'),
        'Program that review.write writes for and review.read reads from, in place of the page.',
        LATER),
    'review.write': Field('', PATH,
        'JSON file to write, of the images on which nobody decided. Empty: none.', LATER),
    'review.read': Field('', PATH,
        'JSON file that the program exported, to take decisions from. Empty: none.', LATER),

    'predict.by': Field('classifier', one_of('classifier', 'neighbours', 'both'),
        'Who answers in predict and evaluate: the classifier, the nearest images of an index '
        '(--mode=index), or both, see bsce_tf/index/vote.py.', LATER),
    'predict.input': Field('', TEXT,
        'Folder, list or image to predict. Empty: the test set.', LATER),
    'predict.model': Field('', PATH,
        'SavedModel to predict with. Empty: the runs in --workdir.', LATER),
    'predict.output': Field('', PATH,
        'File to write. Empty: predictions.csv in the first --workdir.', LATER),
    'predict.format': Field('csv', one_of('csv', 'aliproducts'),
        "Format of that file: csv, or aliproducts (the challenge's submission).", LATER),
    'predict.top_k': Field(5, integer(1), 'Classes per image.', LATER),

    'demo_page.port': Field(7860, integer(0, 65535),
        'Port of the page, on this machine alone. 0: any that is free.', LATER),

    'export.format': Field('saved_model', some_of('saved_model', 'onnx', 'litert'),
        'What to write; several with commas. saved_model: for TensorFlow Serving; onnx: for '
        'onnxruntime, Triton and KServe; litert: for phones and small devices.', LATER),
    'export.weights': Field('float32', one_of('float32', 'float16', 'int8'),
        'Numbers in which onnx and litert store weights: 4, 2 or 1 byte each. The SavedModel has '
        'float32.', LATER),
    'export.measured': Field(500, integer(1),
        'Images of the test set, or else of validation, on which the error of float16 and int8 '
        'weights is measured.',
        LATER),
    'export.by': Field('classifier', one_of('classifier', 'neighbours', 'both'),
        'neighbours, both: add the signature neighbours, which answers by the index.', LATER),
    'export.index_type': Field('float32', one_of('float32', 'float16', 'int8'),
        'Numbers of the vectors in the SavedModel: 4, 2 or 1 byte each.', LATER),
    'export.folder': Field('', PATH,
        'Folder that the server watches. Empty: export in the first --workdir.', LATER),
    'export.name': Field('bsce_tf', TEXT, 'Name of the model in the server.', LATER),
    'export.top_k': Field(5, integer(1), 'Classes per answer.', LATER),
    'export.optimise': Field(True, BOOLEAN, 'Fold BatchNorm into the layers before it.', LATER),
    'export.freeze': Field(False, BOOLEAN,
        'Weights as constants: faster with oneDNN, about 8 × the memory.', LATER),
    'export.bad_image': Field('error', one_of('error', 'empty'),
        'A bad image makes its request fail (error), or gets an empty answer (empty).', LATER),
    'export.images': Field('', PATH,
        "Image or folder of images to test the export with. Empty: the run's own data.", LATER),

    'report.output': Field('', PATH,
        'File to write. Empty: report.html in the first --workdir.', LATER),
    'report.pairs': Field(12, integer(0),
        'Pairs of confused classes to show per run; fewer with more than 4 runs.', LATER),
    'report.errors': Field(24, integer(0),
        'Worst classes and most confident mistakes to show per run; fewer with more than 4 '
        'runs.', LATER),
}
