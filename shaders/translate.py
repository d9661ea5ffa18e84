"""A compute shader that works on buffers alone, as a CUDA kernel: one text for both.

Only declarations are turned. Uniforms and buffers become variables in shared memory, which the kernel `run` fills from its arguments
before it calls what was `main`; `cuda/glsl.cuh` gives the statements their meaning. Shaders that read textures have kernels of
their own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from homunculus.shaders.files import Source, source

_LINE = re.compile(r"^#line (\d+) (\d+)$", re.M)
_GROUP = re.compile(r"^layout\(local_size_x = (\w+)(?:, local_size_y = (\w+))?\) in;$", re.M)
_BUFFER = re.compile(r"^layout\(std430, binding = (\d+)\) (?:\w+ )?buffer \w+ \{ (\w+) (\w+)\[\]; \};$", re.M)
_UNIFORM = re.compile(r"^uniform (\w+) (\w+);", re.M)
_FLOAT = re.compile(r"(?<![\w.])(\d+\.\d*(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+)(?![\w.])")
_OPAQUE = re.compile(r"\b(?:sampler|image)[1-3]D")


@dataclass(frozen=True)
class Argument:
    """One argument of the kernel `run`: a uniform by value, or the address of the buffer at a binding."""

    name: str
    type: str
    binding: int | None = None


@dataclass(frozen=True)
class Kernel:
    """CUDA text with a kernel `run`, its arguments in order, and the threads (x, y) of a block."""

    source: Source
    arguments: tuple[Argument, ...]
    group: tuple[int, int]


def as_cuda(shader: Source) -> Kernel:
    """The CUDA kernel of a compute shader. Raises ValueError for one that uses textures or declares no work group."""
    code = re.sub(r"//.*$", "", shader.text, flags=re.M)
    group = _GROUP.search(code)
    if group is None or _OPAQUE.search(code):
        raise ValueError(
            f"{shader.name} cannot become CUDA: a shader must declare `layout(local_size_x = N[, local_size_y = M]) in;` "
            "and use no texture or image"
        )
    buffers = [Argument(found[3], f"{found[2]}*", int(found[1])) for found in _BUFFER.finditer(code)]
    # A uniform may stand in several branches of #if; which holds only the compiler knows, so each name is an argument once.
    uniforms = {found[2]: Argument(found[2], found[1]) for found in _UNIFORM.finditer(code)}
    arguments = (*buffers, *uniforms.values())
    head = source("cuda/glsl.cuh")
    files = (*head.files, *shader.files)
    for pattern, turned in (
        (re.compile(r"^\s*#\s*version\b.*$", re.M), ""),
        (_GROUP, ""),
        (_BUFFER, ""),
        (_UNIFORM, ""),
        (re.compile(r"^shared\b", re.M), "__shared__"),
        (re.compile(r"^void main\(\)", re.M), "void shader_main()"),
        (_FLOAT, r"\1f"),
        (_LINE, lambda found: f'#line {found[1]} "{shader.files[int(found[2])]}"'),
    ):
        code = pattern.sub(turned, code)
    text = "\n".join(
        [
            head.text,
            "namespace shader {",
            *(f"__shared__ {argument.type} {argument.name};" for argument in arguments),
            code,
            "}",
            f'extern "C" __global__ void run({", ".join(f"{a.type} {a.name}" for a in arguments)}) {{',
            "    if (threadIdx.x == 0 && threadIdx.y == 0) {",
            *(f"        shader::{argument.name} = {argument.name};" for argument in arguments),
            "    }",
            "    __syncthreads();",
            "    shader::shader_main();",
            "}\n",
        ]
    )
    size = tuple(_number(name or "1", code) for name in group.groups())
    return Kernel(Source(shader.name, text, files), arguments, (size[0], size[1]))


def _number(name: str, code: str) -> int:
    defined = re.search(rf"^#define {name} (\d+)$", code, re.M)
    return int(defined[1] if defined else name)
