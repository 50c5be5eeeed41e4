"""The engine: plans a network once, then runs it."""

from cmodel.engine.executor import Engine

__all__ = ["Engine"]
