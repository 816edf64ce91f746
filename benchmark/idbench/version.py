"""The version of idbench, where every module can read it without importing the package's own front page."""

__version__ = "0.1.0"
