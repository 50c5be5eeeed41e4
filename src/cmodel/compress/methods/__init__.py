"""The compression methods, one file each, named <family>_<variant>."""
