"""The first stage of FitNets: the student's lower half learns the teacher's hint."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmodel.errors import RecipeError
from cmodel.finetune.heads import Heads
from cmodel.finetune.loop import Rule
from cmodel.finetune.module import NetModule
from cmodel.net import Net, infer_shapes, unfolded


class HintRule(Rule):
    """Half the squared distance of hint and regressed guided layer (equation 3), the mean.

    The regressor is a convolution without padding whose kernel makes the sizes fit (section 2.2),
    or a matrix for blobs without places.

    Raises
    ------
    RecipeError : the student's blob is smaller than the teacher's.
    """

    def __init__(self, module: NetModule, teacher: Net, hint: str, guided: str, seed: int) -> None:
        self.module = module
        self.teacher = NetModule(teacher).eval()
        self.hint, self.guided = hint, guided
        self.heads = Heads.of(teacher)
        wanted = infer_shapes(unfolded(teacher)).blobs[hint] or ()
        found = infer_shapes(unfolded(module.net)).blobs[guided] or ()
        fits = len(wanted) == len(found) in (2, 4)
        kernel = [there - here + 1 for here, there in zip(wanted[2:], found[2:], strict=False)]
        if not fits or min(kernel, default=1) < 1:
            raise RecipeError(
                f"`retrain.student`: no regressor leads from `{guided}` {found} to `{hint}` "
                f"{wanted}",
                hint="the student's blob has to be at least as high and wide",
            )
        shape = (wanted[1], found[1], *kernel)
        generator = torch.Generator().manual_seed(seed)
        scale = (2 / max(torch.Size(shape[1:]).numel(), 1)) ** 0.5
        weights = scale * torch.randn(shape, generator=generator)
        module.regressor = nn.ParameterList(
            [nn.Parameter(weights), nn.Parameter(torch.zeros(wanted[1]))]
        )

    @property
    def blobs(self) -> tuple[str, ...]:
        """The guided blob."""
        return (self.guided,)

    def extra(self, values: dict[str, Tensor], feed: dict[str, Tensor]) -> Tensor:
        """Return the loss of the hint, instead of that of the scores."""
        with torch.no_grad():
            given = {self.heads.blob: next(iter(feed.values()))}
            wanted = self.teacher(given, [self.hint])[self.hint]
        weights, offset = self.module.regressor
        x = values[self.guided]
        found = F.conv2d(x, weights, offset) if x.ndim == 4 else F.linear(x, weights, offset)
        # 0 times the scores: layers above get gradients of zero.
        return 0.5 * F.mse_loss(found, wanted) + 0 * values[Heads.of(self.module.net).scores].sum()

    def remove(self) -> None:
        """Throw the regressor away."""
        del self.module.regressor
