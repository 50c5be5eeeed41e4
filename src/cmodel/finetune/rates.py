"""The rate in the loss, and what leads it to a size."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from cmodel import container
from cmodel.compress.registry import Facts, RewriteTask
from cmodel.compress.values import unquantized
from cmodel.errors import RecipeError
from cmodel.finetune.loop import Rule
from cmodel.finetune.module import NetModule
from cmodel.finetune.stepped import Rate, Stepped
from cmodel.net import Net
from cmodel.tensors import Form, Sparse

if TYPE_CHECKING:
    from cmodel.finetune.steps.quantize import Options

# Iterations between two counts of the levels.
_REFRESH = 10
# What all bits cost when the search for the rate starts, in nats, and how the logarithm of the rate
# answers to that of bits over target: at once, and over the whole training if it stays.
_START = 0.02
_PROPORTIONAL, _INTEGRAL = 2.0, 80.0
# The first step where all values are zero, as biases are in a new net.
_OF_NOTHING = 0.1
# Steps move faster than what they divide.
_PACE = 3.0


class RateRule(Rule):
    """Adds bits times a rate; where a size is wanted the rate follows from it."""

    def __init__(self, module: NetModule, held: Mapping[str, Stepped], options: Options) -> None:
        self.module, self.held, self.options = module, dict(held), options
        self.rates = [Rate(one) for one in held.values()]
        self.total = 1
        self.bits = 0.0
        # In double precision and in the module, so that checkpoints hold it.
        start = torch.tensor([0.0, 0.0, 1.0, 0.0], dtype=torch.float64)
        module.control = nn.ParameterDict({"state": nn.Parameter(start, requires_grad=False)})
        self.fixed = 0
        self.size: float | None = options.size
        if options.ratio is not None:
            count = module.net.notes.get("parameters", module.net.parameter_count())
            self.size = 4 * count / options.ratio
        if self.size is not None:
            self.fixed = bytes_of(self._without())
            if self.size <= self.fixed:
                raise RecipeError(
                    f"a file of {self.size:,.0f} bytes cannot be reached: what the step does not "
                    f"quantize takes {self.fixed:,}",
                    hint='ask for more; select = { kind = "all" } takes biases too, and '
                    "`mean.image` before the step makes a mean image small",
                )

    @classmethod
    def of(cls, module: NetModule, task: RewriteTask[Options], options: Options) -> RateRule:
        """Put grids into a module for all targets of a step."""
        held = {}
        for target in task.targets:
            form: Form = task.net.parameters[target.name]  # type: ignore[assignment]
            values = unquantized(form, target.name, "retrain.quantize")
            mine = task.options[target.name]
            size = float(np.sqrt(np.square(values, dtype=np.float64).mean())) if values.size else 0
            one = Stepped(
                values,
                mine.step * size if size else _OF_NOTHING,
                mine.limit,
                values != 0 if isinstance(form, Sparse) else None,
            )
            one.log_step.pace = _PACE
            module.replace(target.name, one)
            held[target.name] = one
        return cls(module, held, options)

    @property
    def state(self) -> Tensor:
        """Sum of errors, bits at the start, bytes on file over bytes by the model, rate."""
        state: Tensor = self.module.control["state"]
        return state

    def start(self, iterations: int) -> None:
        """Get to know how long the way is."""
        self.total = iterations

    def before_epoch(self, epoch: int) -> None:
        """Count the levels."""
        self.bits = sum(one.refresh() for one in self.rates)
        if float(self.state[1]) == 0:
            self.state[1] = self.bits
        if self.size is None:
            self.state[3] = (self.options.rate or 0.0) / 8000

    def penalty(self) -> Tensor | None:
        """Return the rate times what the levels cost."""
        rate = float(self.state[3])
        if rate == 0:
            return None
        return rate * sum((one() for one in self.rates), torch.zeros(()))

    def after_iteration(self, iteration: int) -> None:
        """Count the levels again from time to time."""
        if (iteration + 1) % _REFRESH == 0:
            self._count(iteration + 1)

    def after_epoch(self, epoch: int) -> str:
        """Code the levels, so that the model is held to the file."""
        size = bytes_of(self.module.to_net())
        if self.size is not None and self.bits > 0:
            found = (size - self.fixed) / (self.bits / 8)
            self.state[2] = float(np.clip(found, 0.2, 5.0))
        return f"{size:,} bytes, rate {8000 * float(self.state[3]):.3g}"

    def facts(self) -> dict[str, Facts]:
        """Return steps and densities by parameter."""
        return {
            name: {
                "step": math.exp(float(one.log_step.detach())),
                "density": float((one.levels() != 0).double().mean()),
            }
            for name, one in self.held.items()
        }

    def _count(self, iteration: int) -> None:
        self.bits = sum(one.refresh() for one in self.rates)
        if self.size is None:
            return
        goal = max(8 * (self.size - self.fixed) / float(self.state[2]), 8.0)
        begin = max(float(self.state[1]) or self.bits, 8.0)
        done = min(iteration / (self.options.ramp * self.total), 1.0)
        aim = math.exp((1 - done) * math.log(begin) + done * math.log(goal))
        error = min(max(math.log(max(self.bits, 1.0) / aim), -1.0), 1.0)
        self.state[0] += _INTEGRAL * _REFRESH / self.total * error
        exponent = min(max(float(self.state[0]) + _PROPORTIONAL * error, -20.0), 20.0)
        self.state[3] = _START / begin * math.exp(exponent)

    def _without(self) -> Net:
        """Return the net with all levels zero: what is left is not led by the rate."""
        net = self.module.to_net()
        for name, one in self.held.items():
            form = one.form()
            net.parameters[name] = replace(form, ints=np.zeros_like(form.ints))
        return net


def bytes_of(net: Net) -> int:
    """Return the bytes of the whole file, without notes."""
    file = io.BytesIO()
    container.write_to(file, net, notes="none")
    return file.tell()
