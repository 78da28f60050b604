"""The version that is installed."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("resight")
except PackageNotFoundError:  # a source tree that nobody has installed
    __version__ = "0+uninstalled"
