from cmodel.sweep import pareto


def row(net, size, loss=None, kl=None, label="", error=None):
    return {"net": net, "bytes": size, "loss": loss, "kl": kl, "label": label, "error": error}


def test_smaller_or_better():
    rows = [
        row("a", 100, 0.1),
        row("a", 50, 0.5),
        row("a", 70, 0.6),
        row("a", 200, 0.1),
        row("a", 300, -0.2),
        row("a", 50, 0.4),
        row("a", None, None, error={"message": "x"}),
    ]
    assert [(r["bytes"], r["loss"]) for r in pareto(rows)["a"]] == [
        (50, 0.4),
        (100, 0.1),
        (300, -0.2),
    ]


def test_divergence_takes_the_place_of_a_loss_that_is_not_known():
    rows = [row("r", 10, kl=2.0), row("r", 20, kl=1.0), row("r", 30, kl=1.5), row("r", 5)]
    assert [r["bytes"] for r in pareto(rows)["r"]] == [10, 20]


def test_each_net_has_a_front_of_its_own():
    fronts = pareto([row("b", 9, 1.0), row("a", 5, 0.0), row("c", 3), row("b", 8, 2.0)])
    assert list(fronts) == ["b", "a", "c"]
    assert [len(front) for front in fronts.values()] == [2, 1, 0]
    assert pareto([]) == {}
