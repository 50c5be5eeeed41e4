"""The viewer of containers: a page of one file, and a server that only this machine reaches."""

from cmodel.view.page import page, page_for
from cmodel.view.server import ViewServer

__all__ = ["ViewServer", "page", "page_for"]
