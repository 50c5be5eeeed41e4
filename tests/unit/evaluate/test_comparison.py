import numpy as np
import pytest
from scipy.special import rel_entr, softmax

from cmodel.data import Inputs
from cmodel.errors import DataError, LimitError, UsageError
from cmodel.evaluate import compare, divergences, outputs, paired_interval
from cmodel.evaluate.comparison import is_probability
from cmodel.net import InputTransform

from .test_accuracy import Engine, Scores


def pair(seed=0, images=300, classes=7, noise=0.3):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(images, classes)).astype(np.float32)
    b = (a + noise * rng.normal(size=a.shape)).astype(np.float32)
    return a, b, rng.integers(0, classes, images)


def test_a_net_compared_with_itself():
    a, _, labels = pair()
    found = compare(a, a, labels)
    assert (found.images, found.classes) == (300, 7)
    assert found.kl == 0.0
    assert found.agreement == 100.0
    assert found.loss == 0.0
    assert found.top1 == found.baseline
    assert found.top5 == found.baseline5
    assert found.interval[0] < 0 < found.interval[1]


def test_every_figure_against_a_plain_count():
    a, b, labels = pair()
    found = compare(a, b, labels)
    p, q = softmax(a.astype(float), axis=1), softmax(b.astype(float), axis=1)
    assert found.kl == pytest.approx(rel_entr(p, q).sum(axis=1).mean(), rel=1e-9)
    before, after = a.argmax(axis=1) == labels, b.argmax(axis=1) == labels
    assert found.baseline == pytest.approx(100 * before.mean())
    assert found.top1 == pytest.approx(100 * after.mean())
    assert found.agreement == pytest.approx(100 * (a.argmax(axis=1) == b.argmax(axis=1)).mean())
    assert found.loss == pytest.approx(found.baseline - found.top1)
    assert found.worse == (before & ~after).sum()
    assert found.better == (~before & after).sum()
    best = np.argsort(-b, axis=1)[:, :5]
    assert found.top5 == pytest.approx(100 * (best == labels[:, None]).any(axis=1).mean())


def test_without_labels_there_is_no_accuracy():
    a, b, labels = pair()
    found, labelled = compare(a, b), compare(a, b, labels)
    assert (found.kl, found.agreement) == (labelled.kl, labelled.agreement)
    assert (found.top1, found.baseline, found.loss, found.interval) == (None,) * 4


def test_probabilities_and_their_logarithms_diverge_alike():
    a, b, _ = pair(noise=1.0)
    p, q = (softmax(x, axis=1).astype(np.float32) for x in (a, b))
    assert is_probability(p)
    assert not is_probability(a)
    assert divergences(p, q) == pytest.approx(divergences(a, b), rel=1e-4, abs=1e-6)


def test_a_probability_of_zero_costs_a_finite_price():
    p = np.array([[0.5, 0.5], [1, 0]], np.float32)
    q = np.array([[1.0, 0.0], [1, 0]], np.float32)
    assert divergences(p, q)[0] == pytest.approx(0.5 * np.log(0.5) + 0.5 * np.log(0.5e12), rel=1e-6)
    assert divergences(p, q)[1] == 0.0


def test_large_scores_do_not_overflow():
    a = np.array([[3e38, -3e38], [0, 1000]], np.float32)
    assert np.isfinite(divergences(a, a)).all()
    assert divergences(a, a[::-1].copy())[1] > 1e3


def test_scores_that_are_not_finite():
    a, b, labels = pair()
    b[3] = np.nan
    found = compare(a, b, labels)
    assert found.kl == np.inf
    assert found.agreement < 100
    with pytest.raises(DataError, match="original's scores are not all finite"):
        compare(b, a)


@pytest.mark.parametrize(
    ("a", "b", "labels", "match"),
    [
        ((3, 4), (3, 5), None, "cannot be compared"),
        ((3, 4, 1), (3, 4, 1), None, "cannot be compared"),
        ((0, 4), (0, 4), None, "nothing to compare"),
        ((3, 1), (3, 1), None, "nothing to compare"),
        ((3, 4), (3, 4), [0, 1], "labels of the shape"),
        ((3, 4), (3, 4), [0, 4, 1], "image 1 has the label 4"),
        ((3, 4), (3, 4), [0, 1, -1], "image 2 has the label -1"),
    ],
)
def test_what_cannot_be_compared(a, b, labels, match):
    with pytest.raises(DataError, match=match):
        compare(
            np.zeros(a, np.float32),
            np.zeros(b, np.float32),
            None if labels is None else np.array(labels),
        )


def test_top5_needs_five_classes():
    a, b, labels = pair(classes=4)
    found = compare(a, b, labels)
    assert found.top1 is not None
    assert found.top5 is None
    assert found.baseline5 is None


def test_the_score_statistic_at_each_end_is_the_normal_quantile():
    for worse, better, n in [(12, 1, 44), (5, 0, 100), (30, 22, 10_000), (0, 7, 50)]:
        for end in paired_interval(worse, better, n):
            b = (2 * n - worse + better) * end - worse - better
            c = -better * end * (1 - end)
            q = (np.sqrt(b * b - 8 * n * c) - b) / (4 * n)
            statistic = (worse - better - n * end) / np.sqrt(n * (2 * q + end * (1 - end)))
            assert abs(statistic) == pytest.approx(1.959964, rel=1e-4)


def test_the_interval_excludes_zero_just_where_mcnemar_rejects():
    for worse in range(30):
        for better in range(30):
            low, high = paired_interval(worse, better, 200)
            rejects = (worse - better) ** 2 > 1.959964**2 * (worse + better)
            assert (low > 0 or high < 0) == rejects, (worse, better)
            assert -1 <= low <= (worse - better) / 200 <= high <= 1


def test_the_interval_turns_with_the_sign():
    low, high = paired_interval(9, 4, 70)
    other = paired_interval(4, 9, 70)
    assert other == pytest.approx((-high, -low), abs=1e-9)


def test_the_interval_of_extremes():
    assert paired_interval(10, 0, 10)[1] == 1.0
    assert paired_interval(0, 10, 10)[0] == -1.0
    low, high = paired_interval(0, 0, 10_000)
    z2 = 1.959964**2
    assert high == pytest.approx(z2 / (10_000 + z2), rel=1e-4)
    assert low == pytest.approx(-high)


def test_the_interval_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(3)
    n, worse, better = 400, 0.05, 0.02
    draws = rng.multinomial(n, [worse, better, 1 - worse - better], size=2000)
    hits = 0
    for w, b, _ in draws:
        low, high = paired_interval(int(w), int(b), n)
        hits += low <= worse - better <= high
    assert 0.93 < hits / 2000 < 0.97


def test_outputs_of_an_array_and_of_a_source():
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(23, 6)).astype(np.float32)
    engine, seen = Engine(), []
    found = outputs(
        engine,
        scores,
        input_blob="data",
        output_blob="prob",
        batch=10,
        on_progress=lambda *step: seen.append(step),
    )
    assert found.tobytes() == scores.tobytes()
    assert engine.batches == [10, 10, 3]
    assert seen == [(10, 23), (20, 23), (23, 23)]
    chosen = np.array([4, 2, 9])
    inputs = Inputs(Scores(scores, None), chosen, InputTransform(), None, batch=2)
    again = outputs(engine, inputs, input_blob="data", output_blob="prob")
    assert again.tobytes() == scores[chosen].tobytes()
    assert engine.batches[3:] == [2, 1]


def test_inputs_are_held_where_they_are_small():
    scores = np.arange(40, dtype=np.float32).reshape(10, 4)
    inputs = Inputs(Scores(scores, None), np.arange(10), InputTransform(), None, batch=4)
    held = inputs.held(160)
    assert held.tobytes() == scores.tobytes()
    assert inputs.held(159) is inputs


def test_outputs_refuse_bad_calls(monkeypatch):
    call = {"input_blob": "data", "output_blob": "prob"}
    with pytest.raises(DataError, match="no images"):
        outputs(Engine(), np.zeros((0, 4), np.float32), **call)
    with pytest.raises(UsageError, match="at least one image"):
        outputs(Engine(), np.zeros((2, 4), np.float32), batch=0, **call)
    monkeypatch.setattr("cmodel.evaluate.scoring.MAX_BYTES", 31)
    with pytest.raises(LimitError, match="too many to hold"):
        outputs(Engine(), np.zeros((2, 4), np.float32), **call)
