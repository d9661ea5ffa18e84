"""The views, in the order of their digits; another file here is the next."""

from importlib import import_module

from homunculus.viewer.view import registry

for _name in ("footprints", "reconstruction", "cortex", "relevance", "lod", "difference", "acuity"):
    import_module(f"{__name__}.{_name}")
registry.discover(__name__)
