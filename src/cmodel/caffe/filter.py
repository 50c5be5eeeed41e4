"""Which layers a net has in a given state: Caffe's include and exclude rules."""

from __future__ import annotations

from collections.abc import Iterable

from cmodel.errors import NetError, UsageError
from cmodel.proto import caffe_pb2

PHASES = {"TRAIN": caffe_pb2.TRAIN, "TEST": caffe_pb2.TEST}


def net_state(
    declared: caffe_pb2.NetState, phase: str, stages: Iterable[str], level: int
) -> caffe_pb2.NetState:
    """Return the state to build a net in: the file's own stages and what the caller asks for."""
    if phase not in PHASES:
        raise UsageError(f"the phase is TRAIN or TEST, not {phase!r}")
    state = caffe_pb2.NetState()
    state.CopyFrom(declared)
    state.phase = PHASES[phase]
    state.level = level
    state.stage.extend(stages)
    return state


def is_included(layer: caffe_pb2.LayerParameter, state: caffe_pb2.NetState) -> bool:
    """Whether a layer belongs to the net in this state.

    Raises
    ------
    NetError
        It has both kinds of rules.
    """
    if layer.include and layer.exclude:
        raise NetError(
            "a layer has either include or exclude rules, not both", where=f"layer `{layer.name}`"
        )
    if layer.include:
        return any(_holds(rule, state) for rule in layer.include)
    return not any(_holds(rule, state) for rule in layer.exclude)


def _holds(rule: caffe_pb2.NetStateRule, state: caffe_pb2.NetState) -> bool:
    return (
        (not rule.HasField("phase") or rule.phase == state.phase)
        and (not rule.HasField("min_level") or state.level >= rule.min_level)
        and (not rule.HasField("max_level") or state.level <= rule.max_level)
        and set(rule.stage) <= set(state.stage)
        and not set(rule.not_stage) & set(state.stage)
    )
