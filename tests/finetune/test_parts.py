"""The parts of training that can be checked by hand."""

import numpy as np
import pytest

from cmodel.finetune.options import TrainingOptions


def test_augmentation_moves_mirrors_and_keeps_values():
    import torch

    from cmodel.finetune.augment import augment

    x = torch.zeros(64, 2, 6, 6)
    x[:, :, 2, 1] = 5
    generator = torch.Generator().manual_seed(3)
    assert augment(x, TrainingOptions(), generator) is x
    moved = augment(x, TrainingOptions(shift=1), generator)
    places = {tuple(place) for place in moved[:, 0].nonzero()[:, 1:].tolist()}
    assert places == {(row, column) for row in (1, 2, 3) for column in (0, 1, 2)}
    assert (moved.amax(dim=(2, 3)) == 5).all()
    assert torch.equal(moved[:, 0], moved[:, 1])
    mirrored = augment(x, TrainingOptions(flip=True), generator)
    columns = mirrored[:, 0].nonzero()[:, 2].tolist()
    assert set(columns) == {1, 4}
    assert 15 < columns.count(4) < 49
    gone = augment(x, TrainingOptions(shift=3), generator)
    # What leaves the image is lost, what enters is zero.
    assert set(gone[:, 0].sum(dim=(1, 2)).tolist()) == {0.0, 5.0}


def test_rotation_and_crop_stay_close():
    import torch

    from cmodel.finetune.augment import augment

    image = torch.zeros(1, 1, 16, 16)
    image[..., 5:11, 5:11] = 1
    x = image.expand(32, 1, 16, 16)
    generator = torch.Generator().manual_seed(0)
    turned = augment(x, TrainingOptions(rotate=10.0), generator)
    assert not torch.equal(turned, x)
    assert turned.sum(dim=(1, 2, 3)).sub(36).abs().max() < 4
    larger = augment(x, TrainingOptions(crop=0.6), generator).sum(dim=(1, 2, 3))
    assert larger.mean() > 40


def test_soft_targets_are_those_of_the_paper():
    import torch

    from cmodel.finetune.loop import distilled

    rng = np.random.default_rng(0)
    z, v = rng.normal(size=(2, 5, 7))

    def softmax(x):
        e = np.exp(x / 3)
        return e / e.sum(axis=1, keepdims=True)

    p, q = softmax(v), softmax(z)
    expected = 9 * (p * np.log(p / q)).sum(axis=1).mean()
    found = distilled(torch.from_numpy(z), torch.from_numpy(v), 3.0)
    assert float(found) == pytest.approx(expected)


def test_schedules(small, four):
    from cmodel.compress import Lesson
    from cmodel.data import Labelled
    from cmodel.finetune.loop import Fit
    from cmodel.finetune.module import NetModule

    def rates(**options):
        made = TrainingOptions(epochs=10, batch=36, **options)
        fit = Fit(NetModule(small), Lesson(Labelled(*four)), made, name="test")
        assert fit.per_epoch == 10
        return [fit._rate(i) for i in (0, 49, 50, 75, 99)]

    assert rates(schedule="constant") == [1] * 5
    assert rates(schedule="step") == pytest.approx([1, 1, 0.1, 0.01, 0.01])
    assert rates(schedule="inv") == pytest.approx(
        [(1 + 1e-4 * i) ** -0.75 for i in (0, 49, 50, 75, 99)]
    )
    cosine = rates(schedule="cosine")
    assert cosine[0] == 1
    assert cosine[2] == pytest.approx(0.5)
    assert 0 < cosine[4] < 0.001
    warm = rates(schedule="constant", warmup=0.2)
    assert warm[0] == pytest.approx(1 / 21)
    assert warm[1:] == [1] * 4


def test_validation_images_are_not_learned_from(small, four):
    from cmodel.compress import Lesson
    from cmodel.data import Labelled
    from cmodel.finetune.loop import Fit
    from cmodel.finetune.module import NetModule

    fit = Fit(NetModule(small), Lesson(Labelled(*four), seed=4), TrainingOptions(), name="test")
    assert not set(fit.learn) & set(fit.judge)
    assert len(fit.learn) + len(fit.judge) == 400
    assert len(fit.judge) == 40
    assert np.bincount(four[1][fit.judge]).min() >= 8
