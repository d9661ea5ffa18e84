"""The loader, and that every shader compiles and reports faults by the author's file and line."""

from importlib import resources
from pathlib import Path

import pytest

from homunculus import shaders
from homunculus.bridge import statistics
from homunculus.bridge.errors import ShaderError
from homunculus.bridge.gl.unit import GLUnit


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shader package of this test's own."""
    monkeypatch.setattr(resources, "files", lambda name: tmp_path)
    return tmp_path


ENTRY = """// what it does
#version 430
#include "outer.glsl"
layout(local_size_x = 1) in;
layout(std430, binding = 0) buffer Out { float values[]; };
void main() {
    values[0] = outer(FACTOR);
}
"""


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)


def test_includes_expand_recursively_and_once(folder: Path) -> None:
    write(
        folder,
        main_comp=ENTRY,
        outer_glsl='#include "inner.glsl"\n#include "inner.glsl"\nfloat outer(float x) { return inner(x); }\n',
        inner_glsl='#include "outer.glsl"\nfloat inner(float x) { return x; }\n',
    )
    source = shaders.source("main.comp", FACTOR=2.5)
    assert source.files == ("main.comp", "outer.glsl", "inner.glsl")
    assert source.text.count("float inner(") == 1
    lines = source.text.splitlines()
    assert lines[1:4] == ["#version 430", "#define FACTOR 2.5", "#line 3 0"]
    assert shaders.names() == ["inner.glsl", "main.comp", "outer.glsl"]


def test_missing_file_names_who_asked(folder: Path) -> None:
    write(folder, main_comp=ENTRY)
    with pytest.raises(
        FileNotFoundError, match=r"main\.comp:3 asks for shader 'outer\.glsl'; the package has main\.comp"
    ):
        shaders.source("main.comp")
    write(folder, part_glsl="float f;\n")
    with pytest.raises(ValueError, match=r"part\.glsl has no #version line"):
        shaders.source("part.glsl")


@pytest.mark.gl
@pytest.mark.parametrize(
    ("outer", "inner", "place"),
    [
        (
            '#include "inner.glsl"\nfloat outer(float x) { return inner(x); }\n',
            "\n\nfloat inner(float x) { return y; }\n",
            "inner.glsl:3",
        ),
        (
            '#include "inner.glsl"\n\nfloat outer(float x) {\n    return oops; }\n',
            "float inner(float x) { return x; }\n",
            "outer.glsl:4",
        ),
    ],
)
def test_a_fault_in_an_included_file_is_reported_with_its_name_and_line(
    gl_unit: GLUnit, folder: Path, outer: str, inner: str, place: str
) -> None:
    write(folder, main_comp=ENTRY, outer_glsl=outer, inner_glsl=inner)
    context = gl_unit.context
    with pytest.raises(ShaderError, match=rf"(?s)main\.comp does not compile: .*{place}"):
        context.thread.call(context.program, "main.comp", {"FACTOR": 1.0})


@pytest.mark.gl
def test_a_fault_after_an_include_keeps_its_line(gl_unit: GLUnit, folder: Path) -> None:
    write(
        folder,
        main_comp=ENTRY.replace("outer(FACTOR)", "outer(MISSING)"),
        outer_glsl="float outer(float x) { return x; }\n",
    )
    with pytest.raises(ShaderError, match=r"main\.comp:7"):
        gl_unit.context.thread.call(gl_unit.context.program, "main.comp", {})


def test_explain_knows_the_three_dialects() -> None:
    files = ("a.comp", "b.glsl")
    assert shaders.explain("1:2(17): error: x", files) == "b.glsl:2:17: error: x"  # Mesa
    assert shaders.explain("0(12) : error C0000: x", files) == "a.comp:12 : error C0000: x"  # NVIDIA
    assert shaders.explain("ERROR: 1:7: x", files) == "ERROR: b.glsl:7: x"  # AMD, Intel, glslang
    assert shaders.explain("9:1: x", files) == "9:1: x"


@pytest.mark.gl
@pytest.mark.parametrize("name", [name for name in shaders.names() if name.endswith(".comp")])
def test_every_compute_shader_compiles_in_every_variant(gl_unit: GLUnit, name: str) -> None:
    variants: dict[str, list[dict[str, int | float | str]]] = {
        "sample.comp": [
            {"QUALITY": quality, "ELEMENT": element, "WARPED": warped, "GROUP": 64, "PATCH_SIZE": 14}
            for quality in range(4)
            for element in range(3)
            for warped in range(2)
        ]
        + [
            {"QUALITY": quality, "ELEMENT": 0, "WARPED": quality % 2, "GROUP": 64, "PATCH_SIZE": 14, "PLANAR": 1}
            for quality in range(4)
        ],
        "sample_backward.comp": [
            {"QUALITY": quality, "WARPED": warped, "GROUP": 64, "PATCH_SIZE": 14, "ATOMICS": atomics}
            | {"FOOTPRINTS": wanted & 1, "TEXELS": wanted >> 1}
            for quality in range(4)
            for warped in range(2)
            for wanted in range(1, 4)
            for atomics in range(1 + wanted // 2)
            if quality != 1 or wanted == 1
        ],
        "view/atlas.comp": [{"GROUP": 64, "PATCH_SIZE": 14, "WARPED": warped} for warped in range(2)],
        "reduce.comp": [
            {"FORMAT": format, "STORED": stored, "LEVELS": levels}
            for format, stored in (("rgba8", 8), ("rgba16f", 16), ("rgba32f", 32), ("r8", 8), ("rg8", 8))
            for levels in range(1, 7)
        ],
        "ingest.comp": [
            {"FORMAT": format, "BYTES": bytes_, "STORED": stored}
            for format, stored in (("rgba8", 8), ("rgba16f", 16), ("rgba32f", 32))
            for bytes_ in range(2)
        ]
        + [{"FORMAT": ("r8", "rg8")[k - 1], "BYTES": 1, "STORED": 8, "PLANE": k, "BEYOND": 128} for k in (1, 2)],
        "statistics.comp": [statistics.defines()],
    }
    for defines in variants.get(name, [{}]):
        program = gl_unit.context.thread.call(gl_unit.context.program, name, defines)
        assert program._shader.glo > 0


@pytest.mark.gl
@pytest.mark.parametrize("name", [name for name in shaders.names() if name.endswith(".frag")])
def test_every_fragment_shader_compiles_in_every_variant(gl_unit: GLUnit, name: str) -> None:
    vertex = {
        "view/sum.frag": "view/patch.vert",
        "view/finest.frag": "view/patch.vert",
        "view/outline.frag": "view/outline.vert",
        "view/segment.frag": "view/segment.vert",
        "view/cortex.frag": "view/area.vert",
        "view/label.frag": "view/area.vert",
    }.get(name, "view/image.vert")
    variants = {
        "view/warped.frag": ("FINEST", 2),
        "view/resolve.frag": ("SHOW", 3),
        "view/cortex.frag": ("HEMIFIELDS", 2),
    }
    define, count = variants.get(name, ("UNUSED", 1))
    for value in range(count):
        program = gl_unit.context.thread.call(gl_unit.context.drawing, vertex, name, {define: value})
        assert program.glo > 0
