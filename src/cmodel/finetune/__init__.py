"""Retraining with PyTorch: nets as torch modules, and the recipe steps that train.

PyTorch itself (the extra `finetune`) is loaded when a step runs, or when `torch_module` is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmodel.finetune.extras import need_torch

if TYPE_CHECKING:
    from cmodel.finetune.module import NetModule
    from cmodel.net import Net

__all__ = ["torch_module"]


def torch_module(net: Net) -> NetModule:
    """Return the net as a torch.nn.Module of Caffe's semantics; `module.to_net()` leads back.

    Raises
    ------
    MissingExtraError : PyTorch is not installed.
    """
    need_torch("a torch module")
    from cmodel.finetune.module import NetModule

    return NetModule(net)
