"""Errors of the parts that hold a model or read data. The rest are in `bridge.errors`; all share one base."""

from homunculus.bridge.errors import HomunculusError


class ModelError(HomunculusError, ValueError):
    """A model that cannot be loaded or fed: no such folder, an unknown family, missing weights, patches of another size."""


class QueryError(HomunculusError, ValueError):
    """A query that says nothing, or that cannot be read or encoded."""


class DataError(HomunculusError, ValueError):
    """A data file that does not say what it should, or does not fit what it is used with."""


class WriteError(HomunculusError, OSError):
    """A file or folder that cannot be written: no room, no permission, a name that cannot be. What was there before is still there."""
