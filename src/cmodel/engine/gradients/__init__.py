"""Backward passes, one module for each family of layers."""
