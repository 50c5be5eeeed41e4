"""Judging a net on data: accuracy, the answers for single images, comparison with the original."""

from cmodel.evaluate.accuracy import (
    Evaluation,
    Progress,
    Ranked,
    evaluate,
    evaluation_of,
    judged_images,
    ranked,
)
from cmodel.evaluate.comparison import Comparison, compare, divergences, paired_interval
from cmodel.evaluate.difference import (
    THRESHOLD,
    BlobDifference,
    Difference,
    ParameterDifference,
    difference,
)
from cmodel.evaluate.prediction import Prediction, predict
from cmodel.evaluate.runner import Runner
from cmodel.evaluate.scoring import moderate_batch, outputs

__all__ = [
    "THRESHOLD",
    "BlobDifference",
    "Comparison",
    "Difference",
    "Evaluation",
    "ParameterDifference",
    "Prediction",
    "Progress",
    "Ranked",
    "Runner",
    "compare",
    "difference",
    "divergences",
    "evaluate",
    "evaluation_of",
    "judged_images",
    "moderate_batch",
    "outputs",
    "paired_interval",
    "predict",
    "ranked",
]
