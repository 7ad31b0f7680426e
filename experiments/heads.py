"""What a sampled head costs in accuracy: all classes in each step against 0.3 and 0.1 of them.

    nice -n 15 .venv/bin/python -m experiments.heads --processes=2

The network of `experiments/losses.py` and bsce_many with α = 0.4; the arms differ in
`model.head_sample` alone. Drawings of 1,000 classes, with that program's conditions, and Hangul of
11,172 with imbalance 10 and 10 % wrong labels: with 100 and 30 %, whole and sampled heads had
learnt nothing after two of the eight epochs. All have the rate that is best for whole heads of
1,000 classes. Writes results/heads.csv, .md and .svg.
"""

from absl import app

from experiments import drawings, losses, study

ARMS = {'all classes': {}, 'sample 0.3': {'model.head_sample': 0.3},
        'sample 0.1': {'model.head_sample': 0.1}}
HANGUL = losses.condition('hangul', 0.1, 1000, **losses.hangul(11_172) | {'data.imbalance': 10.0})
CONDITIONS = {name: {**condition, **losses.ARMS['alpha_04']} for name, condition in (
    ('hangul11172-10', HANGUL), ('drawings1000-10', losses.CONDITIONS['drawings1000-10']),
    ('drawings1000-30', losses.CONDITIONS['drawings1000-30']))}
MORE_SEEDS = {name: [2] for name in CONDITIONS if name.startswith('drawings')}
STUDY = study.Study('heads', 'Share of the other classes that a step computes', CONDITIONS, ARMS,
                    'all classes', {}, seeds=[0, 1], rates=[0.3], more_seeds=MORE_SEEDS)


def main(_):
    """Draws what is missing and runs what the flags name."""
    if not study.SHOW.value:
        drawings.write(losses.folder(1000), 1000, losses.LARGEST, losses.SMALLEST,
                       losses.TEST_IMAGES, 0)
    study.run(STUDY, losses.get_config())


if __name__ == '__main__':
    app.run(main)
