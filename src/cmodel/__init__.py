"""Makes the smallest file of a trained Caffe network that still answers as well, and runs it."""

from cmodel._version import __version__

__all__ = ["__version__"]
