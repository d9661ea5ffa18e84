"""A compute shader as a CUDA kernel: one text for both.

Declarations are turned, swizzles and literals; the statements stay as they are. Uniforms and the addresses of buffers become
variables in shared memory, which the kernel fills from its arguments before it calls what was `main`; `cuda/glsl.cuh` gives GLSL's
types and functions. No member of a struct may be named like a swizzle.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePath

from homunculus.shaders.files import Source, source

_LINE = re.compile(r"^#line (\d+) (\d+)$", re.M)
_GROUP = re.compile(r"^layout\(local_size_x = (\w+)(?:, local_size_y = (\w+))?\) in;$", re.M)
_BUFFER = re.compile(
    r"^layout\(std430, binding = \d+\) (?:\w+ )?buffer \w+ \{ (?P<type>int|uint|float|ivec2|vec[24]) (?P<name>\w+)\[\]; \};$",
    re.M,
)
_UNIFORM = re.compile(
    r"^(?:uniform (?P<plain>int|uint|float|ivec2|vec[234])|layout\(binding = \d+\) uniform (?P<sampler>sampler2DArray)"
    r"|layout\(rgba32f, binding = \d+\) writeonly uniform (?P<image>image2DArray)) (?P<name>\w+);",
    re.M,
)
_LEFT = re.compile(r"^\s*(?:layout|uniform|buffer|readonly|writeonly)\b.*$", re.M)


def _component(swizzle: re.Match[str]) -> str:
    places = ["xyzw".find(letter) if letter in "xyzw" else "rgba".find(letter) for letter in swizzle[1]]
    return f"[{places[0]}]" if len(places) == 1 else f".swizzle<{', '.join(map(str, places))}>()"


_TURNS: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (_GROUP, ""),
    (_BUFFER, ""),
    (_UNIFORM, ""),
    (re.compile(r"^\s*#\s*(?:version|extension)\b.*$", re.M), ""),
    (re.compile(r"^shared\b", re.M), "__shared__"),
    (re.compile(r"\binout (\w+) "), r"\1& "),
    (re.compile(r"^const\b", re.M), "__device__ constexpr"),
    (re.compile(r"^void main\(\)", re.M), "void shader_main()"),
    (re.compile(r"(?<![\w.])(\d+\.\d*(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+)(?![\w.])"), r"\1f"),
    (re.compile(r"(?<=[\w)\]])\.([xyzw]{1,4}|[rgba]{1,4})\b"), _component),
)


@dataclass(frozen=True)
class Argument:
    """One argument of the kernel: a uniform, sampler or image by value, or, of a type that ends in `*`, the address of a buffer."""

    name: str
    type: str


@dataclass(frozen=True)
class Kernel:
    """CUDA text with the kernel `name`, its arguments in order, and the threads (x, y) of a block."""

    source: Source
    name: str
    arguments: tuple[Argument, ...]
    group: tuple[int, int]


def as_cuda(shader: Source) -> Kernel:
    """The CUDA kernel of a compute shader, named as its file is.

    Raises ValueError, with file and line, for one that declares no work group or something that kernels cannot be given.
    """
    code = re.sub(r"[ \t]*//.*$", "", shader.text, flags=re.M)
    group = _GROUP.search(code)
    if group is None:
        raise ValueError(
            f"{shader.name} cannot become CUDA: it lacks `layout(local_size_x = N[, local_size_y = M]) in;` on a line"
        )
    arguments = _arguments(shader, code)
    turned = _turned(shader, code)
    name = PurePath(shader.name).stem
    x, y = (_number(number or "1", code) for number in group.groups())
    head = source("cuda/glsl.cuh")
    text = "\n".join(
        [
            head.text,
            "namespace shader {",
            *(f"__shared__ {argument.type} {argument.name};" for argument in arguments),
            turned,
            "}",
            f'extern "C" __global__ void {name}(',
            ", ".join(f"decltype(shader::{argument.name}) {argument.name}" for argument in arguments),
            ") {",
            "    if (threadIdx.x == 0 && threadIdx.y == 0) {",
            *(f"        shader::{argument.name} = {argument.name};" for argument in arguments),
            "    }",
            "    __syncthreads();",
            "    shader::shader_main();",
            "}\n",
        ]
    )
    return Kernel(Source(shader.name, text, (*head.files, *shader.files)), name, arguments, (x, y))


def _declared(code: str) -> str:
    """Empty lines for what stands in `#ifdef`s of names that are not defined."""
    defined = set(re.findall(r"^#define (\w+)", code, re.M))
    kept: list[str] = []
    inside: list[bool] = []  # of each block that is open, whether its lines count
    for line in code.splitlines():
        found = re.match(r"\s*#\s*(ifdef|ifndef|if|elif|else|endif)\b\s*(\w*)", line)
        if found is None:
            kept.append(line if all(inside) or _LINE.match(line) else "")
            continue
        kept.append("")
        if found[1] in ("ifdef", "ifndef"):
            inside.append((found[2] in defined) == (found[1] == "ifdef"))
        elif found[1] == "if":
            inside.append(True)
        elif found[1] == "endif":
            inside.pop()
        else:
            inside[-1] = True
    return "\n".join(kept)


def _arguments(shader: Source, code: str) -> tuple[Argument, ...]:
    """Buffers and uniforms. One may be declared in several branches of #if, and which holds only the compiler knows: it is one all the
    same."""
    types: dict[str, str] = {}
    declared = _declared(code)
    for found in (*_BUFFER.finditer(declared), *_UNIFORM.finditer(declared)):
        kind = found["type"] + "*" if found.re is _BUFFER else found["plain"] or found["sampler"] or found["image"]
        if types.setdefault(found["name"], kind) != kind:
            raise _refusal(shader, declared, found, f"`{found['name']}` has another type in another branch")
    return tuple(Argument(name, type) for name, type in types.items())


def _turned(shader: Source, code: str) -> str:
    for pattern, turned in _TURNS:
        code = pattern.sub(turned, code)
    left = _LEFT.search(code)
    if left is not None:
        raise _refusal(
            shader,
            code,
            left,
            "kernels take buffers of one array of int, uint, float, ivec2, vec2 or vec4; uniforms of those, vec3 and sampler2DArray; "
            "and images to write, image2DArray of rgba32f",
        )
    return _LINE.sub(lambda found: f'#line {found[1]} "{shader.files[int(found[2])]}"', code)


def _refusal(shader: Source, code: str, found: re.Match[str], why: str) -> ValueError:
    before = code[: found.end()].splitlines()
    distance = next(k for k, line in enumerate(reversed(before)) if _LINE.match(line))
    line, file = _LINE.findall("\n".join(before))[-1]
    place = f"{shader.files[int(file)]}:{int(line) + distance - 1}"
    return ValueError(f"{place} cannot become CUDA: `{found[0].strip()}`: {why}")


def _number(name: str, code: str) -> int:
    defined = re.search(rf"^#define {name} (\d+)$", code, re.M)
    return int(defined[1] if defined else name)
