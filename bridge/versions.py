"""Which version of a package is in use."""

import sys
from importlib.metadata import PackageNotFoundError, version


def version_of(package: str) -> str | None:
    """What the imported module says of itself, which for torch tells the build too; else what is installed; None for neither."""
    told = getattr(sys.modules.get(package), "__version__", None)
    if isinstance(told, str):
        return told
    try:
        return version(package)
    except PackageNotFoundError:
        return None
