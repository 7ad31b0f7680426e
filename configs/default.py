"""Every field once, with its meaning, unit and range. Other configs change some of them."""

from ml_collections import config_dict


def get_config():
    """The defaults: the paper's recipe, without data."""
    config = config_dict.ConfigDict()
    config.seed = 0              # of weights, sampling, crops and augmentation; 0 to 2³¹−1
    config.deterministic = False  # equal weights from two runs on one machine; slower
    config.strategy = 'auto'     # auto | one | mirrored | multiworker: see README.md
    config.replicas = 0          # devices of a machine; 0: all GPUs; on a CPU N logical ones
    config.precision = 'float32'  # float32 | mixed_float16 | mixed_bfloat16
    config.jit_compile = False   # compile the step by XLA; slower on CPUs
    config.batch_size = 64       # global, over all replicas; at least 1
    config.epochs = 30           # at least 1
    config.steps = 0             # of an epoch; 0: as many as the sampler's epoch has
    config.stages = ({},)        # what each stage changes: {'sampler.gamma': 1.0, 'epochs': 5}, …

    data = config.data = config_dict.ConfigDict()
    data.source = 'fashion_mnist'  # a name of bsce_tf.data.sources.SOURCES
    data.root = ''               # folder of the images; what it means is the source's matter
    data.train = ''              # list of training images
    data.validation = ''         # list of validation images; empty: a stratified part of training
    data.test = ''               # list of test images; empty: none
    data.dataset = ''            # tfds: name, or name/config:version
    data.image_column = 'image'  # csv: column of paths
    data.label_column = 'label'  # csv: column of class names
    data.classes = ''            # .json or .csv of class names by id; '': found in the data
    data.clean = ''              # folder of --mode=verify's clean lists, or one list; or the
                                 # cleaned.csv of --mode=audit; or both, 'A,B'; '': none
    data.cache = ''              # folder for indexes of long lists; '': ~/.cache/bsce-tf; off: none
    data.shard_images = 4096     # images in a shard that --mode=pack writes; at least 1
    data.max_pixels = 100_000_000  # larger images count as bad, undecoded; 0: no limit
    data.on_error = 'stop'       # a bad image: stop | skip (train on another of its class)
    data.max_bad_fraction = 0.01  # skip stops when more of a set is bad; 0 to 1
    data.validation_fraction = 0.1  # of training, where no validation list is given; to 0.5
    data.imbalance = 1.0         # long tail put on training: largest class / smallest; ≥ 1
    data.noise = 0.0             # share of training labels made wrong, 0 to 1
    data.noise_kind = 'symmetric'  # symmetric | asymmetric

    image = config.image = config_dict.ConfigDict()
    image.size = 331             # C: side of the crop that the network sees, in pixels; at least 8
    image.scales = (384, 412, 424, 436, 464)  # training resizes to one of these, then crops; ≥ size
    image.crop = 'multi_scale'   # of training: multi_scale | random_resized
    image.area = (0.08, 1.0)     # random_resized: share of the image; above 0 to 1
    image.aspect_ratio = (0.75, 1.333)  # random_resized: width / height
    image.aspect = 'squash'      # resize to S × S (squash, the paper) or the shorter side (keep)
    image.antialias = False      # low-pass filter when an image is made smaller
    image.eval_scale = 436       # validation resizes to this, then crops the centre; ≥ size

    augment = config.augment = config_dict.ConfigDict()
    augment.flip = True          # mirror half of the images left to right
    augment.vertical_flip = False  # mirror half of the images upside down
    augment.brightness = 0.0     # factor 1 ± this; 0 to 1
    augment.contrast = 0.0       # factor 1 ± this; 0 to 1
    augment.saturation = 0.0     # factor 1 ± this; 0 to 1
    augment.hue = 0.0            # turn of the colours, ± this; 0 to 0.5
    augment.policy = 'none'      # none | randaugment | autoaugment
    augment.num_layers = 2       # randaugment: operations on an image; at least 1
    augment.magnitude = 9.0      # randaugment: strength of each; 0 to 10
    augment.autoaugment_policy = 'reduced_imagenet'  # a policy of tf-models-official
    augment.erasing = 0.0        # probability of a rectangle of noise; 0 to 1
    augment.mixup = 0.0          # α of MixUp; 0: none
    augment.cutmix = 0.0         # α of CutMix; 0: none

    model = config.model = config_dict.ConfigDict()
    model.backbone = 'pnasnet5large'  # a name of bsce_tf.models.backbones.BACKBONES
    model.weights = ''           # '' (random), imagenet, or a file
    model.pooling = 'avg'        # of the last feature map: avg | max | gem
    model.dropout = 0.0          # before the head; 0 to below 1
    model.head = 'linear'        # linear | cosine | tau (a linear one, class vectors / length^τ)
    model.head_scale = 10.0      # cosine: s, the logits lie in −s … s; > 0
    model.head_learn_scale = True  # cosine: whether s is learnt
    model.head_tau = 1.0         # tau: τ, 0 (linear) or more
    model.freeze = ()            # layers that do not train: beginnings or patterns of their names
    model.sync_batch_norm = True  # statistics over all replicas, so their number changes nothing

    loss = config.loss = config_dict.ConfigDict()
    loss.name = 'bsce'           # ce | bce | sce | bsce
    loss.alpha = 0.4             # α of sce and bsce: weight of the (balanced) cross-entropy; ≥ 0
    loss.beta = 0.7              # β of sce and bsce: weight of the reverse cross-entropy; ≥ 0
    loss.log_zero = -4.0         # A, what log 0 is taken to be in the reverse cross-entropy; < 0
    loss.label_smoothing = 0.0   # 0 to below 1
    loss.weight_cap = 0.0        # largest class weight w(k) of bce and bsce; 0: no cap

    optimizer = config.optimizer = config_dict.ConfigDict()
    optimizer.name = 'sgd'       # sgd | adamw
    optimizer.learning_rate = 0.01  # > 0
    optimizer.momentum = 0.9     # of sgd; 0 to below 1
    optimizer.nesterov = False   # of sgd
    optimizer.weight_decay = 0.0  # decoupled; ≥ 0
    optimizer.layer_decay = 1.0  # rate × this for each stage further from the head; above 0 to 1
    optimizer.clip_norm = 0.0    # longest gradient of a step, all variables together; 0: any
    optimizer.clip_value = 0.0   # largest entry of a gradient; 0: any
    optimizer.accumulate = 1     # steps whose gradients make one update; at least 1

    schedule = config.schedule = config_dict.ConfigDict()
    schedule.name = 'plateau'    # plateau (of the validation error) | constant | cosine | step
    schedule.factor = 0.1        # rate × factor at a plateau or milestone; above 0, below 1
    schedule.patience = 3        # plateau: epochs without a new best before that; at least 1
    schedule.milestones = ()     # step: epochs after which the rate falls
    schedule.final = 0.0         # cosine: last rate / first; 0 to 1
    schedule.warmup_steps = 0    # steps in which the rate rises from 0; at least 0

    sampler = config.sampler = config_dict.ConfigDict()
    sampler.gamma = 0.0          # γ: 0 instance-balanced, 0.5 square-root, 1 class-balanced; ≥ 0
    sampler.cap = 0              # most images of a class that count in an epoch; 0: no cap

    averaging = config.averaging = config_dict.ConfigDict()
    averaging.ema = 0.0          # decay a step of the exponential average of weights; 0: none
    averaging.swa_epochs = 0     # average the weights at the end of the last epochs; 0: none
    averaging.batches = 100      # training batches to estimate SWA's BatchNorm statistics anew
    averaging.select = 'raw'     # evaluate and export: raw | ema | swa | best (on validation)

    checkpoint = config.checkpoint = config_dict.ConfigDict()
    checkpoint.steps = 0         # save every so many steps; 0: not; always after an epoch
    checkpoint.minutes = 10.0    # save when so much time has gone; 0: not
    checkpoint.keep = 2          # last checkpoints that are kept; at least 1
    config.tracking = 'none'     # none | mlflow | wandb: where else to send the history

    tta = config.tta = config_dict.ConfigDict()
    tta.scales = ()              # test time: centre crops of these sizes; (): image.scales

    evaluate = config.evaluate = config_dict.ConfigDict()
    evaluate.output = ''         # folder for the tables of several runs; '': the first workdir

    audit = config.audit = config_dict.ConfigDict()
    audit.folds = 5              # networks, each judges images that it was not trained on; ≥ 2
    audit.model = ''             # a run on other images, which judges all; '': audit.folds
    audit.top_k = 20             # most probable classes that are kept of an image; at least 2
    audit.score = 'self_confidence'  # self_confidence | normalized_margin |
                                 # adjusted_self_confidence | adjusted_margin: audit/confident.py
    audit.rule = 'drop'          # listed images: drop | relabel (where that is sure, else drop)
    audit.below = 0.5            # they leave where their label's probability is below this × the
                                 # mean of its class, so that hard classes stay; > 0; 1000: always
    audit.keep = 5               # least images that keep their label in every class; at least 1
    audit.rounds = 1             # clean_train: audits, each of what the last one left; ≥ 1
    audit.duplicate_similarity = 0.98  # least cosine of near-duplicates' features; 0: no search

    predict = config.predict = config_dict.ConfigDict()
    predict.input = ''           # folder, list or image to predict; '': the test set of config.data
    predict.model = ''           # SavedModel to predict with; '': the runs in --workdir
    predict.output = ''          # file to write; '': predictions.csv in the first workdir
    predict.format = 'csv'       # csv | aliproducts (the challenge's submission)
    predict.top_k = 5            # classes of an image

    export = config.export = config_dict.ConfigDict()
    export.folder = ''           # that TF Serving watches; '': export in the first workdir
    export.name = 'bsce_tf'      # of the model in TF Serving
    export.top_k = 5             # classes of an answer
    export.optimise = True       # fold BatchNorm into the layers before it
    export.freeze = False        # weights as constants: faster with oneDNN, about 8 × the memory
    export.bad_image = 'error'   # a bad image of a request: error | empty (it fails alone)
    export.images = ''           # image or folder to check the export with; '': the run's own data

    report = config.report = config_dict.ConfigDict()
    report.output = ''           # file to write; '': report.html in the first workdir
    report.pairs = 12            # confused pairs of classes of a run; of more than 4 runs, fewer
    report.errors = 24           # worst classes and surest mistakes of a run; as report.pairs
    return config
