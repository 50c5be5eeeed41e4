"""The training loop: batches, loss, schedule, validation, checkpoints."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cmodel import __version__
from cmodel.compress.statistics import digest_of
from cmodel.compress.training import Lesson
from cmodel.data import IntArray, split
from cmodel.errors import CheckFailed, DataError, UsageError
from cmodel.finetune import checkpoint
from cmodel.finetune.augment import augment
from cmodel.finetune.checkpoint import State
from cmodel.finetune.heads import Heads
from cmodel.finetune.module import NetModule, feed_of
from cmodel.finetune.options import TrainingOptions

_EVALUATED = 500


class Rule:
    """What a step adds to plain training. Its state lies in the module's buffers."""

    def start(self, iterations: int) -> None:
        """Get to know how many iterations there will be."""

    def before_epoch(self, epoch: int) -> None:
        """Get ready: what is not in the module's buffers is found anew here."""

    def penalty(self) -> Tensor | None:
        """Return what is added to the loss, in nats."""
        return None

    def after_iteration(self, iteration: int) -> None:
        """Change what has to be changed after the optimiser's step."""

    def after_epoch(self, epoch: int) -> str:
        """Return what is worth telling."""
        return ""

    def extra(self, values: dict[str, Tensor], feed: dict[str, Tensor]) -> Tensor | None:
        """Return a loss that takes the place of the scores' own, or None."""
        return None

    @property
    def blobs(self) -> tuple[str, ...]:
        """Blobs that `extra` reads besides the scores."""
        return ()


@dataclass
class Epoch:
    """What an epoch gave: mean loss in nats, and accuracy in percent on the validation images."""

    loss: float
    validation_loss: float | None
    accuracy: float | None
    told: str = ""


@dataclass
class Trained:
    """How a training went."""

    epochs: list[Epoch] = field(default_factory=list)
    best: int = -1

    def facts(self) -> dict[str, Any]:
        """Return it as plain data."""
        kept = self.epochs[self.best] if self.epochs else None
        facts: dict[str, Any] = {"epochs": len(self.epochs), "kept": self.best + 1}
        if kept is not None and kept.accuracy is not None:
            facts["validation"] = kept.accuracy
        return facts


class Fit:
    """One training of one module.

    Raises
    ------
    DataError : labels out of range, images that do not fit, too few of them.
    UsageError : the checkpoint belongs to another run.
    CheckFailed : the loss is not finite any more; the last good state stays in the checkpoint.
    """

    def __init__(
        self,
        module: NetModule,
        lesson: Lesson,
        options: TrainingOptions,
        *,
        name: str,
        rule: Rule | None = None,
        teacher: NetModule | None = None,
        threads: int = 1,
        tell: Callable[[str], None] = lambda words: None,
        round_: int = 0,
    ) -> None:
        self.module, self.lesson, self.options = module, lesson, options
        self.rule = rule or Rule()
        self.teacher = teacher
        self.threads, self.tell = threads, tell
        self.round = round_
        self.heads = Heads.of(module.net)
        self.epochs = max(1, round(options.epochs * lesson.pace))
        self.learn, self.judge = self._shares()
        self.per_epoch = max(1, len(self.learn) // options.batch)
        self.trained = Trained()
        self.best: dict[str, np.ndarray] = {}
        self._known: Tensor | None = None
        if teacher is not None and not options.augments:
            shape = (len(lesson.images), self.heads.classes)
            self._known = torch.full(shape, float("nan"))
        self._parameters = [p for p in module.parameters() if p.requires_grad]
        if not self._parameters:
            raise UsageError("there is nothing that trains: all layers are frozen")
        self.optimizer = self._optimizer()
        self.file = lesson.checkpoint
        if self.file is not None and round_:
            self.file = self.file.with_name(f"{self.file.stem}-{round_ + 1}.npz")
        self.mark = "" if self.file is None else self._mark(name)

    def run(self) -> Trained:
        """Train to the end, from the checkpoint if there is one; leave the module as it is kept."""
        self.rule.start(self.epochs * self.per_epoch)
        with _deterministic(self.threads):
            first = self._resume()
            for epoch in range(first, self.epochs):
                if self._given_up():
                    break
                self._epoch(epoch)
                self._save()
        if self.options.keep == "best" and self.best:
            self._restore(self.best)
        else:
            self.trained.best = len(self.trained.epochs) - 1
        self.module.eval()
        return self.trained

    def _shares(self) -> tuple[IntArray, IntArray]:
        """Return the images to learn from and those to choose by; never the same."""
        images, share = self.lesson.images, self.options.validation
        images.check_classes(self.heads.classes)
        learn, judge = split(images.labels, [1 - share, share], self.lesson.seed)
        if not len(learn) or (share and not len(judge)):
            raise DataError(
                f"{len(images)} images are too few to set {share:g} of them apart",
                where=images.where,
            )
        return learn, judge

    def _optimizer(self) -> Any:
        options = self.options
        groups: dict[tuple[float, float], list[Any]] = {}
        for parameter in self._parameters:
            plain = parameter.ndim > 1 or getattr(parameter, "decays", False)
            key = (getattr(parameter, "pace", 1.0), options.decay if plain else 0.0)
            groups.setdefault(key, []).append(parameter)
        made = [
            {"params": members, "pace": pace, "weight_decay": decay}
            for (pace, decay), members in groups.items()
        ]
        if options.optimizer == "adam":
            return torch.optim.Adam(made, lr=options.learning_rate, fused=True)
        return torch.optim.SGD(
            made,
            lr=options.learning_rate,
            momentum=options.momentum,
            nesterov=options.momentum > 0,
            fused=True,
        )

    def _rate(self, iteration: int) -> float:
        """Return the factor of the learning rate."""
        total, options = self.epochs * self.per_epoch, self.options
        rise = options.warmup * total
        if iteration < rise:
            return (iteration + 1) / (rise + 1)
        done = iteration / total
        if options.schedule == "cosine":
            return 0.5 * (1 + math.cos(math.pi * done))
        if options.schedule == "step":
            return 0.1 ** ((done >= 0.5) + (done >= 0.75))
        return float((1 + 1e-4 * iteration) ** -0.75) if options.schedule == "inv" else 1.0

    def _epoch(self, epoch: int) -> None:
        options, module = self.options, self.module
        entropy = [self.lesson.seed, self.round, epoch]
        rng = np.random.Generator(np.random.PCG64(entropy))
        generator = torch.Generator().manual_seed(int(rng.integers(1 << 62)))
        torch.manual_seed(int(rng.integers(1 << 62)))
        order = self.learn[np.argsort(rng.random(len(self.learn)), kind="stable")]
        module.train()
        self.rule.before_epoch(epoch)
        total = 0.0
        for i in range(self.per_epoch):
            iteration = epoch * self.per_epoch + i
            factor = self._rate(iteration)
            for group in self.optimizer.param_groups:
                group["lr"] = options.learning_rate * factor * group["pace"]
            indices = order[i * options.batch : (i + 1) * options.batch]
            x = torch.from_numpy(self.lesson.images.take(indices))
            y = torch.from_numpy(self.lesson.images.labels[indices])
            x = augment(x, options, generator)
            loss = self._loss(x, y, indices)
            value = float(loss.detach())
            if not math.isfinite(value):
                self._diverged(epoch, i)
            total += value
            penalty = self.rule.penalty()
            self.optimizer.zero_grad()
            (loss if penalty is None else loss + penalty).backward()
            self.optimizer.step()
            self.rule.after_iteration(iteration)
        told = self.rule.after_epoch(epoch)
        self._judge(total / self.per_epoch, told)

    def _loss(self, x: Tensor, y: Tensor, indices: IntArray) -> Tensor:
        options, feed = self.options, {self.heads.blob: x}
        values = self.module(feed, [self.heads.scores, *self.rule.blobs])
        extra = self.rule.extra(values, feed)
        if extra is not None:
            return extra
        scores = values[self.heads.scores].flatten(1)
        soft = options.distill
        loss = F.cross_entropy(scores, y) if soft < 1 else scores.new_zeros(())
        if self.teacher is None or not soft:
            return loss
        wanted = self._taught(x, indices)
        return (1 - soft) * loss + soft * distilled(scores, wanted, options.temperature)

    def _taught(self, x: Tensor, indices: IntArray) -> Tensor:
        """Return the teacher's scores, kept where the images come again as they are."""
        teacher = self.teacher
        if teacher is None:
            raise AssertionError("soft targets without a teacher")
        if self._known is not None and bool(self._known[indices, 0].isfinite().all()):
            return self._known[indices]
        heads = Heads.of(teacher.net)
        with torch.no_grad():
            scores = teacher({heads.blob: x}, [heads.scores])[heads.scores].flatten(1)
        if self._known is not None:
            self._known[indices] = scores
        return scores

    def _judge(self, loss: float, told: str) -> None:
        validation = accuracy = None
        if len(self.judge):
            validation, accuracy = evaluate(self.module, self.lesson, self.judge, self.heads)
        self.trained.epochs.append(Epoch(loss, validation, accuracy, told))
        number = len(self.trained.epochs)
        text = f"epoch {number} of {self.epochs}, loss {loss:.4f}"
        if accuracy is not None:
            text += f", validation {accuracy:.2f} %"
        self.tell(f"{text}{', ' if told else ''}{told}")
        if accuracy is None:
            return
        best = self.trained.epochs[self.trained.best] if self.trained.best >= 0 else None
        key = (accuracy, -(validation or 0))
        if best is None or key > (best.accuracy or 0, -(best.validation_loss or 0)):
            self.trained.best = number - 1
            if self.options.keep == "best":
                self.best = self._arrays()

    def _given_up(self) -> bool:
        behind = len(self.trained.epochs) - 1 - self.trained.best
        return 0 < self.options.patience <= behind and self.trained.best >= 0

    def _diverged(self, epoch: int, iteration: int) -> None:
        notes = [] if self.file is None else [f"the last good state is in {self.file}"]
        raise CheckFailed(
            f"the loss is not finite any more, in epoch {epoch + 1}, batch {iteration + 1}",
            notes=notes,
            hint="a lower learning_rate helps",
        )

    def _arrays(self) -> dict[str, np.ndarray]:
        return {name: value.numpy().copy() for name, value in self.module.state_dict().items()}

    def _restore(self, arrays: dict[str, np.ndarray]) -> None:
        state = {name: torch.from_numpy(value.copy()) for name, value in arrays.items()}
        self.module.load_state_dict(state)

    def _save(self) -> None:
        if self.file is None:
            return
        arrays = {f"net/{name}": value for name, value in self._arrays().items()}
        arrays |= {f"best/{name}": value for name, value in self.best.items()}
        for i, parameter in enumerate(self._parameters):
            for key, value in self.optimizer.state[parameter].items():
                if value is not None:
                    arrays[f"optimizer/{i}/{key}"] = np.asarray(value)
        facts = {
            "mark": self.mark,
            "best": self.trained.best,
            "epochs": [vars(epoch) for epoch in self.trained.epochs],
        }
        checkpoint.save(self.file, State(arrays, facts))

    def _resume(self) -> int:
        """Take over a checkpoint; return the epoch to go on with."""
        if self.file is None or not self.file.exists():
            return 0
        state = checkpoint.load(self.file)
        if state.facts.get("mark") != self.mark:
            raise UsageError(
                "the checkpoint is of another run: of another net, recipe, seed or data",
                where=str(self.file),
                hint="remove it, or name another folder",
            )
        groups: dict[str, dict[str, np.ndarray]] = {"net": {}, "best": {}, "optimizer": {}}
        for name, value in state.arrays.items():
            group, _, rest = name.partition("/")
            groups[group][rest] = value
        self._restore(groups["net"])
        self.best = groups["best"]
        for name, value in groups["optimizer"].items():
            i, _, key = name.partition("/")
            # A state of no dimensions counts steps.
            self.optimizer.state[self._parameters[int(i)]][key] = torch.from_numpy(value.copy())
        self.trained.best = state.facts["best"]
        self.trained.epochs = [Epoch(**entry) for entry in state.facts["epochs"]]
        return len(self.trained.epochs)

    def _mark(self, name: str) -> str:
        """Return a digest of all that the result depends on."""
        images = self.lesson.images
        some = images.take(np.unique(np.linspace(0, len(images) - 1, 64).astype(np.int64)))
        start = [value.tobytes() for value in self._arrays().values()]
        parts = [
            f"{__version__} {torch.__version__} {name} {self.options!r} {self.epochs} {self.round} "
            f"{self.lesson.seed} {len(images)}".encode(),
            digest_of(self.module.net),
            images.labels.tobytes(),
            some.tobytes(),
            *start,
        ]
        return sha256(b"".join(sha256(part).digest() for part in parts)).hexdigest()


def distilled(scores: Tensor, wanted: Tensor, temperature: float) -> Tensor:
    """T^2 KL(softmax(wanted / T) || softmax(scores / T)), the mean over the batch."""
    log = F.log_softmax(scores / temperature, dim=1)
    target = F.log_softmax(wanted / temperature, dim=1)
    return temperature**2 * F.kl_div(log, target, reduction="batchmean", log_target=True)


def evaluate(
    module: NetModule, lesson: Lesson, indices: IntArray, heads: Heads
) -> tuple[float, float]:
    """Return mean cross-entropy in nats and accuracy in percent."""
    module.eval()
    loss, right = 0.0, 0
    with torch.no_grad():
        for start in range(0, len(indices), _EVALUATED):
            part = indices[start : start + _EVALUATED]
            feed = feed_of(heads.blob, lesson.images.take(part))
            scores = module(feed, [heads.scores])[heads.scores].flatten(1)
            y = torch.from_numpy(lesson.images.labels[part])
            loss += float(F.cross_entropy(scores, y, reduction="sum"))
            right += int((scores.argmax(1) == y).sum())
    return loss / len(indices), 100 * right / len(indices)


@contextmanager
def _deterministic(threads: int) -> Iterator[None]:
    before, held = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    state = torch.get_rng_state()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        torch.use_deterministic_algorithms(held)
        torch.set_rng_state(state)
