"""Training of what is coded: learned steps, and the bits of the levels in the loss.

S. Esser et al., "Learned Step Size Quantization", 2020; D. Oktay et al., "Scalable Model
Compression by Entropy Penalized Reparameterization", 2020. `cmodel.finetune.stepped` has both.
"""

from __future__ import annotations

from dataclasses import dataclass

from cmodel.compress.options import check_int, check_number, check_range
from cmodel.compress.registry import LABELS, Facts, RewriteTask, Rewritten, rewrite
from cmodel.finetune.options import TrainingOptions
from cmodel.finetune.steps.common import module_of, one_options, train


@dataclass(frozen=True, kw_only=True)
class Options(TrainingOptions):
    """What is quantized is selected; `select = { kind = "all" }` takes biases too.

    step : of each grid at the start, in root mean squares of its values.
    limit : largest level.
    rate : nats of loss that 1000 bytes may cost; 0 trains the steps alone.
    size, ratio : of the whole file in bytes, or as the ratio to float32 parameters: then `rate` is
        led so that the file gets there.
    ramp : share of the training after which the file has to be there.
    """

    keep: str = "last"
    step: float = 1.0
    limit: int = 127
    rate: float | None = None
    size: int | None = None
    ratio: float | None = None
    ramp: float = 0.6

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("step", self.step, 0, 1000)
        check_int("limit", self.limit, 1, 32767)
        if sum(value is not None for value in (self.rate, self.size, self.ratio)) > 1:
            raise ValueError("rate, size and ratio exclude each other")
        if self.rate is not None:
            check_range("rate", self.rate, 0, 1e6)
        if self.size is not None:
            check_int("size", self.size, 1, 1 << 50)
        if self.ratio is not None:
            check_number("ratio", self.ratio, 1, 1e6)
        check_number("ramp", self.ramp, 0, 1)


@rewrite("retrain.quantize", Options, needs=LABELS)
def quantize(task: RewriteTask[Options]) -> Rewritten:
    """Train the selected parameters as levels of grids."""
    options = one_options(task, "retrain.quantize")
    from cmodel.finetune.rates import RateRule

    module = module_of(task, options, "retrain.quantize")
    rule = RateRule.of(module, task, options)
    trained = train(task, module, options, "retrain.quantize", rule)
    net = module.to_net()
    net.notes = task.net.notes
    facts: dict[str, Facts] = rule.facts()
    first = task.targets[0].name
    facts[first] = {**facts.get(first, {}), **trained.facts()}
    return Rewritten(net, facts)
