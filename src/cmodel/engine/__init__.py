"""The engine: plans a network once, then runs it; and a plain NumPy reference beside it."""

from cmodel.engine.backward import Gradients, NoGradientError, differentiable
from cmodel.engine.engine import Engine
from cmodel.engine.reference import run_reference

__all__ = ["Engine", "Gradients", "NoGradientError", "differentiable", "run_reference"]
