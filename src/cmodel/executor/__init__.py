"""Where work is done: pieces of plain data go to a job, here or on the workers of dask."""

from cmodel.executor.base import Answer, Executor, Job, OnPiece, Piece, Tell
from cmodel.executor.child import in_child
from cmodel.executor.kept import Kept
from cmodel.executor.local import Local
from cmodel.executor.opening import open_executor

__all__ = [
    "Answer",
    "Executor",
    "Job",
    "Kept",
    "Local",
    "OnPiece",
    "Piece",
    "Tell",
    "in_child",
    "open_executor",
]
