"""Sweeps: grids of methods, settings and nets, measured into a file of JSON lines."""

from cmodel.sweep.grid import Grid, NetSpec, Setting, load_grid, parse_grid
from cmodel.sweep.pareto import pareto
from cmodel.sweep.run import SCHEMA, Progress, key_of, read_rows, sweep

__all__ = [
    "SCHEMA",
    "Grid",
    "NetSpec",
    "Progress",
    "Setting",
    "key_of",
    "load_grid",
    "pareto",
    "parse_grid",
    "read_rows",
    "sweep",
]
