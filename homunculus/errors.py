"""Errors of the parts that hold a model. The rest are in `bridge.errors`; all share one base."""

from bridge.errors import HomunculusError


class ModelError(HomunculusError, ValueError):
    """A model that cannot be loaded or fed: no such folder, an unknown family, missing weights, patches of another size."""


class QueryError(HomunculusError, ValueError):
    """A query that says nothing, or that cannot be read or encoded."""
