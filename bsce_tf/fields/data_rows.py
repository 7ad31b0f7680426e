"""Rows of the table of fields: the run as a whole, its data, crops and augmentation."""

from bsce_tf.fields.field import BOUNDED, DATA, LATER, ROUNDS, Field
from bsce_tf.fields.rules import (
    BOOLEAN,
    MAYBE_SIZES,
    MOST_PARTS,
    PART,
    PLACE,
    STAGES,
    TEXT,
    integer,
    interval,
    number,
    one_of,
)

ROWS = {
    'seed': Field(0, integer(0, 2**31 - 1),
        'Seed of the weights, the sampling, the crops and the augmentation.'),
    'deterministic': Field(False, BOOLEAN,
        'Two runs on one machine give equal weights. Slower.', LATER),
    'strategy': Field('auto', one_of('auto', 'one', 'mirrored', 'multiworker'),
        'Devices: one; mirrored (all GPUs of this machine); multiworker (several machines); auto '
        '(multiworker where TF_CONFIG names several workers, else mirrored where there are several '
        'GPUs, else one).', LATER),
    'replicas': Field(0, integer(0),
        'Number of devices of this machine to use. 0: all GPUs. On a CPU: number of logical '
        'devices.', LATER),
    'precision': Field('float32', one_of('float32', 'mixed_float16', 'mixed_bfloat16'),
        'Precision of the computation. The loss and the head stay in float32.'),
    'jit_compile': Field(False, BOOLEAN,
        'Compile the training step with XLA. Slower on CPUs.', LATER),
    'part': Field('', PART,
        'inspect, verify, pack, predict, audit: the part i of n that this process does, as 3/10; '
        'the last to end joins them. Empty: this process does everything.', LATER),
    'engine.name': Field('none', one_of('none', 'ray'),
        'inspect, verify, pack, predict, audit: what spreads the parts over machines. none: this '
        'process does the work. ray: the Ray cluster of RAY_ADDRESS or of this machine.', LATER),
    'engine.parts': Field(0, integer(0, MOST_PARTS),
        'engine.name: number of parts. 0: one a machine, or as many as the cluster does at a '
        'time.', LATER),
    'engine.cpus': Field(0, integer(0),
        'engine.name: CPUs that Ray sets aside for each part. 0: those of the smallest machine, or '
        'their share for each of its GPUs.', LATER),
    'engine.gpus': Field(0, integer(0),
        'engine.name: GPUs that Ray sets aside for each part.', LATER),
    'batch_size': Field(64, integer(1), 'Images per step, over all replicas.'),
    'epochs': Field(30, integer(1), 'Epochs per stage.', BOUNDED),
    'steps': Field(0, integer(0), "Steps per epoch. 0: as many as the sampler's epoch has."),
    'stages': Field(({},), STAGES,
        'Fields that each stage of the run changes, such as {"sampler.gamma": 1.0, "epochs": 5}. '
        'Each later stage starts from the best weights so far.', BOUNDED),

    'data.source': Field('fashion_mnist', one_of('bsce_tf.data.sources:SOURCES', own=True),
        'Where images and labels come from.', DATA),
    'data.root': Field('', TEXT,
        'Folder of the images, or of the files that the source reads. csv, folder, packed, '
        'parquet: also the address of one in a bucket (s3://, gs://, az://); without folder: also '
        'of a web server (https://).', DATA),
    'data.train': Field('', TEXT,
        'Training images: a list, folder, file pattern or split, as the source needs it; csv: also '
        "the address of a list. Empty: the source's usual name.", DATA),
    'data.validation': Field('', TEXT,
        "Validation images, named like data.train. Empty: the source's usual name, or else a part "
        'of the training images is held out.', DATA),
    'data.test': Field('', TEXT,
        "Test images, named like data.train. Empty: the source's usual name, or else "
        'none.', ROUNDS),
    'data.dataset': Field('', TEXT, 'tfds: name of the data set, or name/config:version.', DATA),
    'data.image_column': Field('image', TEXT,
        'csv: name of the column with the paths of the images; parquet: with the images; tfrecord: '
        'key of the images, where image also stands for image/encoded.', DATA),
    'data.label_column': Field('label', TEXT,
        'csv, parquet: name of the column with the class names; tfrecord: key of the labels, where '
        'label also stands for image/class/label.', DATA),
    'data.group_column': Field('', TEXT,
        'csv, parquet: name of a column of groups, such as products. All images of a group stay on '
        'one side of the validation split and in one fold of an audit. Empty: no groups.', DATA),
    'data.group_pattern': Field('', TEXT,
        "Regular expression that finds an image's group in its path: the text of its first "
        'brackets, or else the whole match. Empty: no groups, or those of the packed set.', DATA),
    'data.copies': Field('paths', TEXT,
        'Copies that stay together like a group: paths (rows that name the same file), or these '
        'and the images of a list: duplicates.csv of bsce inspect, near_duplicates.csv of '
        'bsce audit, which may be an address. Empty: none.', DATA, old=''),
    'data.classes': Field('', TEXT,
        'File of class names in the order of their ids, .json or .csv. Empty: the classes found in '
        'the data.', DATA),
    'data.clean': Field('', TEXT,
        'Clean lists, which choose images and give their labels: the folder of bsce verify, or '
        "one of its lists; the cleaned.csv of bsce audit; or one of each, 'A,B'. They may be "
        'addresses. Empty: none.', DATA),
    'data.trusted': Field('', TEXT,
        "decisions.jsonl of a --mode=review, or several files, 'A,B': the images that a person "
        'kept or relabelled are the validation set, with these labels, and are not trained on. '
        'They may be addresses. Empty: validation as above.', DATA),
    'data.cache': Field('', PLACE,
        'Folder for the indexes of long lists, and for packs that are fetched from an address. '
        'An address in a bucket: indexes of lists that lie in buckets are kept there, too, for '
        'other machines. '
        "Empty: in ~/.cache/bsce_tf. 'off': neither is kept, and such packs are refused.", LATER),
    'data.readers': Field(0, integer(0),
        'Images that are read at a time from files or packs; results do not depend on it. 0: as '
        'many as are needed for 3,200 images/s by the time of a few reads at the start, 8 to 256.',
        LATER),
    'data.shard_images': Field(4096, integer(1), 'pack: images per shard.', LATER),
    'data.max_pixels': Field(100_000_000, integer(0),
        'Images with more pixels count as bad and are not decoded. 0: no limit.', BOUNDED),
    'data.on_error': Field('stop', one_of('stop', 'skip'),
        'At a bad image: stop the run, or skip the image (training takes another image of its '
        'class).', LATER),
    'data.max_bad_fraction': Field(0.01, number(0, 1),
        'data.on_error=skip: stop the run when more than this share of a set is bad.', LATER),
    'data.warned': Field('keep', one_of('keep', 'bad'),
        'verify: an image at which the decoder warns, such as a damaged JPEG, is good (keep) or '
        'bad (bad).', LATER),
    'data.validation_fraction': Field(0.1, number(0, 0.5, open_low=True),
        'Share of the training images that is held out for validation where there is no validation '
        'set.'),
    'data.imbalance': Field(1.0, number(1),
        'Makes the training set long-tailed: images of the largest class / images of the smallest. '
        '1: leaves it as it is.'),
    'data.noise': Field(0.0, number(0, 1),
        'Share of the training and validation labels that is made wrong.'),
    'data.noise_kind': Field('symmetric', one_of('symmetric', 'proportional', 'asymmetric'),
        'Wrong labels: symmetric (any other class, equally likely), proportional (other classes in '
        'proportion to their sizes, so that all sizes stay), asymmetric (a class that is easily '
        'confused with the right one).'),
    'data.unseen_classes': Field(0.0, number(0, 1, open_high=True),
        'Share of the classes of which training and validation get no image, drawn at random: to '
        'measure how well an index (--mode=index) answers for new products. Ids and the test set '
        'stay.'),

    'image.size': Field(331, integer(8),
        'C: side of the square crop that the network gets, in pixels.'),
    'image.scales': Field((), MAYBE_SIZES,
        'Training resizes each image to one of these sizes S, in pixels, drawn at random, then '
        "crops C × C. (): the paper's 384, 412, 424, 436 and 464, in proportion to image.size / "
        '331.', old=(384, 412, 424, 436, 464)),
    'image.crop': Field('multi_scale', one_of('multi_scale', 'random_resized'),
        'Training crops: multi_scale (C × C of an image resized to one of image.scales, the '
        'paper), or random_resized (random area and aspect ratio, resized to C × C).'),
    'image.area': Field((0.08, 1.0), interval(1),
        'random_resized: share of the image that a crop covers, (smallest, largest).'),
    'image.aspect_ratio': Field((0.75, 1.333), interval(),
        'random_resized: width / height of a crop, (smallest, largest).'),
    'image.aspect': Field('squash', one_of('squash', 'keep'),
        'How to resize an image: to S × S whatever its shape (squash, the paper), or its shorter '
        'side to S (keep).'),
    'image.antialias': Field(False, BOOLEAN, 'Low-pass filter when an image is shrunk.'),
    'image.eval_scale': Field(0, integer(0),
        'Validation resizes each image to this size S, in pixels, then takes the central C × C. 0: '
        "the paper's 436, in proportion to image.size / 331.", old=436),

    'augment.flip': Field(True, BOOLEAN, 'Mirror half of the images left to right.'),
    'augment.vertical_flip': Field(False, BOOLEAN, 'Mirror half of the images upside down.'),
    'augment.brightness': Field(0.0, number(0, 1),
        'Brightness × a random factor from 1 − this to 1 + this.'),
    'augment.contrast': Field(0.0, number(0, 1),
        'Contrast × a random factor from 1 − this to 1 + this.'),
    'augment.saturation': Field(0.0, number(0, 1),
        'Saturation × a random factor from 1 − this to 1 + this.'),
    'augment.hue': Field(0.0, number(0, 0.5),
        'Hue + a random angle from −this to this, in full turns.'),
    'augment.policy': Field('none', one_of('none', 'randaugment', 'autoaugment', own=True),
        "Augmentation policy. randaugment and autoaugment need pip install 'bsce-tf[augment]'."),
    'augment.num_layers': Field(2, integer(1), 'randaugment: operations per image.'),
    'augment.magnitude': Field(9.0, number(0, 10), 'randaugment: strength of each operation.'),
    'augment.autoaugment_policy': Field('reduced_imagenet', TEXT,
        'autoaugment: name of a policy of tf-models-official.'),
    'augment.erasing': Field(0.0, number(0, 1),
        'Probability that a random rectangle of an image is replaced by noise.'),
    'augment.mixup': Field(0.0, number(0), 'α of MixUp. 0: off.'),
    'augment.cutmix': Field(0.0, number(0), 'α of CutMix. 0: off.'),
}
