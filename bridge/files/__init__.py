"""Files in and out: one way to read each kind, one way to write any. Nothing else in the library opens a file."""

from homunculus.bridge.files.staging import Staging
from homunculus.bridge.files.writing import (
    alone,
    append,
    check_writable,
    end_of_lines,
    replaced,
    replaced_together,
    write_json,
    write_picture,
    write_tensors,
    write_text,
)

__all__ = [
    "Staging",
    "alone",
    "append",
    "check_writable",
    "end_of_lines",
    "replaced",
    "replaced_together",
    "write_json",
    "write_picture",
    "write_tensors",
    "write_text",
]
