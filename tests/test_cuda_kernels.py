"""Every CUDA kernel compiles with NVRTC for three architectures, without a GPU, and faults are reported by the author's file and line."""

import os
from dataclasses import replace
from importlib import resources

import pytest
import torch

from homunculus import layouts, shaders
from homunculus.bridge import statistics
from homunculus.bridge.adjoint import Wanted
from homunculus.bridge.cuda.backward import adjoint_variant
from homunculus.bridge.cuda.kernels import Defines, Kernels
from homunculus.bridge.cuda.sampler import variant
from homunculus.bridge.elements import ELEMENTS
from homunculus.bridge.errors import CudaError, ShaderError
from homunculus.bridge.law import QUALITIES
from homunculus.bridge.patches import Filtering
from homunculus.interop import nvrtc
from homunculus.interop.nvrtc import compile_text

ARCHITECTURES = (
    "sm_75",
    "sm_90",
    "sm_100",
)  # the oldest, the newest, and one between: each can what those before it can
LAWS = ("areal", "linear", "cap", "uniform")
SIZE = (1024, 1024)
STORED = (8, 16, 32)
VARIANTS: dict[str, list[dict[str, int | float | str]]] = {
    "ingest": [{"BYTES": 1, "STORED": stored} for stored in STORED]
    + [{"BYTES": 0, "STORED": s} for s in (16, 32)]
    + [{"BYTES": 1, "STORED": 8, "PLANE": channels, "BEYOND": 128} for channels in (1, 2)],
    "reduce": [{"STORED": stored} for stored in STORED] + [{"STORED": 8, "PLANE": channels} for channels in (1, 2)],
    "write": [{}],
}
PROGRAMS = [
    *(layouts.log_polar_program(SIZE, law=law) for law in LAWS),
    *(layouts.cortical_program(SIZE, law=law) for law in LAWS),
]


def pages(narrow: int = 0, stand_ins: int = 0) -> Defines:
    return {"PAGED": 1, "NARROW": narrow, "STAND_INS": stand_ins}


SHADERS: list[tuple[str, Defines]] = [
    *(
        ("sample.comp", variant(Filtering(quality, dtype), warped=warped))
        for quality in QUALITIES
        for dtype in ELEMENTS
        for warped in (False, True)
    ),
    *(("sample.comp", variant(Filtering(quality), warped=False, kind=pages(narrow=1))) for quality in QUALITIES),
    ("sample.comp", variant(Filtering(), warped=False, kind=pages(stand_ins=1))),
    *(
        ("sample.comp", variant(Filtering(quality), warped=quality == "sharp", kind={"PLANAR": 1}))
        for quality in QUALITIES
    ),
    ("sample.comp", variant(Filtering(dtype=torch.float16), warped=True, kind=pages())),
    *(
        ("sample_backward.comp", adjoint_variant(Filtering(quality), wanted, warped=warped))
        for quality, wanted, warped in (
            ("fast", Wanted(True, False), False),
            ("high", Wanted(True, True), False),
            ("sharp", Wanted(True, True), True),
            ("exact", Wanted(False, True), False),
        )
    ),
    ("statistics.comp", statistics.defines()),
    *((program.shader, program.defines) for program in PROGRAMS),
]


def proven_by_one_architecture(shader: str, defines: Defines) -> bool:
    """Qualities and laws of density differ in plain arithmetic."""
    return defines.get("QUALITY", 2) != 2 or defines.get("LAW", "LAW_AREAL") != "LAW_AREAL"


class Compiles:
    """No device, and the real compiler."""

    def compile(self, name: str, text: str) -> bytes:
        return compile_text(name, text, "sm_90")


@pytest.fixture(scope="session")
def nvrtc_works() -> None:
    """Skips where NVRTC is missing; fails where EXPECT_NVRTC=1 says that it is there."""
    try:
        compile_text("nothing", "", "sm_90")
    except CudaError as error:
        if os.environ.get("EXPECT_NVRTC") == "1":
            pytest.fail(f"EXPECT_NVRTC=1, but: {error}")
        pytest.skip(str(error))


def test_every_kernel_file_has_its_variants_here() -> None:
    files = {entry.name for entry in resources.files("homunculus.shaders").joinpath("cuda").iterdir()}
    assert {name.removesuffix(".cu") for name in files if name.endswith(".cu")} == set(VARIANTS)


@pytest.mark.slow
@pytest.mark.usefixtures("nvrtc_works")
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_kernels_compile(name: str, architecture: str) -> None:
    for defines in VARIANTS[name]:
        text = shaders.source(f"cuda/{name}.cu", **defines).text
        assert compile_text(name, text, architecture)[:4] == b"\x7fELF"


@pytest.mark.slow
@pytest.mark.usefixtures("nvrtc_works")
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_shaders_compile_as_cuda(architecture: str) -> None:
    for shader, defines in SHADERS:
        if architecture == "sm_90" or not proven_by_one_architecture(shader, defines):
            kernel = shaders.as_cuda(shaders.source(shader, **defines))
            assert compile_text(kernel.name, kernel.source.text, architecture)[:4] == b"\x7fELF"


@pytest.mark.usefixtures("nvrtc_works")
def test_an_architecture_newer_than_the_compiler_gets_text_for_the_driver() -> None:
    text = shaders.source("cuda/reduce.cu", STORED=8).text
    assert b".target" in compile_text("reduce", text, "sm_999")


@pytest.mark.usefixtures("nvrtc_works")
def test_a_fault_is_reported_by_file_and_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str, **defines: int | float | str) -> shaders.Source:
        given = shaders.source(name, **defines)
        return replace(given, text=given.text.replace("ceil(ratio - RATIO_SLACK)", "ceil(oops - RATIO_SLACK)"))

    monkeypatch.setattr("homunculus.bridge.cuda.kernels.source", broken)
    lines = resources.files("homunculus.shaders").joinpath("footprint.glsl").read_text().splitlines()
    line = next(number for number, text in enumerate(lines, 1) if "ceil(ratio" in text)
    with pytest.raises(
        ShaderError,
        match=rf'(?s)sample\.comp does not compile: .*footprint\.glsl\({line}\): error: identifier "oops" is undefined',
    ):
        Kernels(Compiles()).shader("sample.comp", variant(Filtering(), warped=False))  # type: ignore[arg-type]


def test_without_nvrtc_the_error_names_the_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    import builtins

    real = builtins.__import__

    def refuse(name: str, *arguments: object, **named: object) -> object:
        if name.startswith("cuda"):
            raise ImportError("No module named 'cuda'")
        return real(name, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(CudaError, match=r"NVRTC cannot be loaded .*Pip install cuda-bindings") as caught:
        nvrtc.compile_text("x", "", "sm_90")
    assert "nvidia-cuda-nvrtc" in caught.value.remedy


def test_what_kernels_cannot_be_given_is_refused_by_file_and_line() -> None:
    kernels = Kernels(Compiles())  # type: ignore[arg-type]
    with pytest.raises(
        ShaderError,
        match=r"reduce\.comp:11 cannot become CUDA: `layout\(FORMAT, binding = 0\) writeonly uniform image2DArray level_1;`: "
        r"kernels take buffers of one array of int, .* image2DArray of rgba32f",
    ):
        kernels.shader("reduce.comp", {"FORMAT": "rgba8", "STORED": 8, "LEVELS": 6})
    layout = "layout(local_size_x = 8) in;"
    two_types = "layout(std430, binding = 0) buffer A { {} same[]; };"
    for line, place in (
        ("uniform sampler2D map;", "mine.comp:3"),
        (two_types.replace("{}", "vec3"), "mine.comp:3"),
        (
            "#if ONE\n" + two_types.replace("{}", "int") + "\n#else\n" + two_types.replace("{}", "uint") + "\n#endif",
            "mine.comp:6",
        ),
        ("layout(std430, binding = 0) buffer Two { float first[2]; float rest[]; };", "mine.comp:3"),
        ("#line 1 1\n\nlayout(binding = 0) uniform sampler3D fog;\n#line 4 0", "its.glsl:2"),
    ):
        text = f"#version 430\n#line 2 0\n{layout}\n{line}\nvoid main() {{}}\n"
        with pytest.raises(ValueError, match=f"^{place} cannot become CUDA: `"):
            shaders.as_cuda(shaders.Source("mine.comp", text, ("mine.comp", "its.glsl")))
    with pytest.raises(ValueError, match=r"mine\.comp cannot become CUDA: it lacks `layout\(local_size_x = N"):
        shaders.as_cuda(shaders.Source("mine.comp", "#version 430\nvoid main() {}\n", ("mine.comp",)))


def test_what_is_translated() -> None:
    kernel = shaders.as_cuda(shaders.source("plan_log_polar.comp", LAW="LAW_AREAL"))
    assert (kernel.name, kernel.group) == ("plan_log_polar", (256, 1))
    names = [argument.name for argument in kernel.arguments]
    assert names[:2] == ["fixations", "rows"]
    assert {"image_px", "budget", "fixation_count", "given_a_px", "grid_rows"} <= set(names)
    assert '#line 1 "cortex.glsl"' in kernel.source.text
    assert "1.5" not in kernel.source.text.replace("1.5f", "")
    kernel = shaders.as_cuda(shaders.source("statistics.comp", **statistics.defines()))
    types = {argument.name: argument.type for argument in kernel.arguments}
    assert (types["pyramid"], types["statistics"], types["inside"]) == ("sampler2DArray", "image2DArray", "ivec2")
    assert kernel.group == (32, 8)
    assert "taps[k].swizzle<3, 2, 1, 0>()" in kernel.source.text
    assert "float alpha = texel[3];" in kernel.source.text
