"""What all steps that train have in common: optimiser, schedule, augmentation, distillation."""

from __future__ import annotations

from dataclasses import dataclass

from cmodel.compress.options import check_bool, check_choice, check_int, check_number, check_range

MAX_EPOCHS = 100_000


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How a step trains.

    epochs : passes over the training images.
    optimizer : "sgd" (with `momentum`) or "adam".
    learning_rate : at the start.
    momentum : Nesterov's, of "sgd".
    decay : of weights: decay / 2 |w|^2 in the loss.
    schedule : "cosine" down to 0, "step" (a tenth after 1/2 and 3/4), "inv" (Caffe's LeNet:
        (1 + 0.0001 i)^-0.75 at iteration i) or "constant".
    warmup : epochs of linear rise, a share.
    batch : images in one.
    validation : share of the training images that is set apart to choose by, by class.
    patience : epochs without a better validation that end the training; 0 never ends it.
    keep : "best" epoch by validation, or the "last" one.
    shift : pixels that an image moves at most, zeros follow.
    flip : half of the images are mirrored.
    crop : least share of the side that a random window has, enlarged again (1: none).
    rotate : degrees at most.
    distill : share a of the soft targets in the loss: (1 - a) CE + a T^2 KL (Hinton, Vinyals,
        Dean 2015, section 2).
    temperature : T of the soft targets.
    teacher : whose they are: the net before the first step ("original") or before this one
        ("current").
    dropout : factor of the ratio of each Dropout layer.
    batch_statistics : whether BatchNorm follows the batches; else its statistics stay.
    side : whether biases and other side parameters train with the selected weights.
    freeze : layers (globs) of which nothing changes.
    scratch : whether the values that train are drawn anew first (He et al. 2015).
    """

    epochs: int = 10
    optimizer: str = "adam"
    learning_rate: float = 0.001
    momentum: float = 0.9
    decay: float = 0.0
    schedule: str = "cosine"
    warmup: float = 0.0
    batch: int = 128
    validation: float = 0.1
    patience: int = 0
    keep: str = "best"
    shift: int = 0
    flip: bool = False
    crop: float = 1.0
    rotate: float = 0.0
    distill: float = 0.0
    temperature: float = 4.0
    teacher: str = "original"
    dropout: float = 1.0
    batch_statistics: bool = False
    side: bool = True
    freeze: str | list[str] = ""
    scratch: bool = False

    def __post_init__(self) -> None:
        check_int("epochs", self.epochs, 1, MAX_EPOCHS)
        check_choice("optimizer", self.optimizer, ("sgd", "adam"))
        check_number("learning_rate", self.learning_rate, 0, 10)
        check_range("momentum", self.momentum, 0, 0.9999)
        check_range("decay", self.decay, 0, 1)
        check_choice("schedule", self.schedule, ("cosine", "step", "inv", "constant"))
        check_range("warmup", self.warmup, 0, 1)
        check_int("batch", self.batch, 1, 1 << 16)
        check_range("validation", self.validation, 0, 0.9)
        check_int("patience", self.patience, 0, MAX_EPOCHS)
        check_choice("keep", self.keep, ("best", "last"))
        check_int("shift", self.shift, 0, 1024)
        check_bool("flip", self.flip)
        check_number("crop", self.crop, 0, 1)
        check_range("rotate", self.rotate, 0, 180)
        check_range("distill", self.distill, 0, 1)
        check_number("temperature", self.temperature, 0, 1000)
        check_choice("teacher", self.teacher, ("original", "current"))
        check_range("dropout", self.dropout, 0, 1)
        check_bool("batch_statistics", self.batch_statistics)
        check_bool("side", self.side)
        check_bool("scratch", self.scratch)
        if not all(isinstance(name, str) for name in self.frozen):
            raise ValueError("freeze is a name or a list of names")
        if self.validation == 0 and (self.keep == "best" or self.patience):
            raise ValueError('keep = "best" and patience need a validation share')

    @property
    def frozen(self) -> tuple[str, ...]:
        """The globs of `freeze`."""
        if isinstance(self.freeze, str):
            return (self.freeze,) if self.freeze else ()
        return tuple(self.freeze)

    @property
    def augments(self) -> bool:
        """Whether images change from epoch to epoch."""
        return bool(self.shift or self.flip or self.rotate or self.crop < 1)

    @property
    def rounds(self) -> int:
        """How many times a step trains for its epochs."""
        return 1

    @property
    def total_epochs(self) -> int:
        """Epochs of the whole step."""
        return self.epochs * self.rounds
