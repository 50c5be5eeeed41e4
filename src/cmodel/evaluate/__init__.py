"""Judging a net on data: accuracy, and the answers for single images."""

from cmodel.evaluate.accuracy import Evaluation, Progress, evaluate
from cmodel.evaluate.prediction import Prediction, predict
from cmodel.evaluate.runner import Runner

__all__ = ["Evaluation", "Prediction", "Progress", "Runner", "evaluate", "predict"]
