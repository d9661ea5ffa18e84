"""Every CUDA kernel compiles with NVRTC for three architectures, without a GPU, and faults are reported by the author's file and line."""

import os
from importlib import resources

import pytest

from homunculus import layouts, shaders
from homunculus.bridge import CudaError, ShaderError
from homunculus.bridge.cuda import statistics
from homunculus.bridge.cuda.kernels import Kernels
from homunculus.interop import nvrtc
from homunculus.interop.nvrtc import compile_text

ARCHITECTURES = ("sm_75", "sm_80", "sm_90", "sm_100")
LAWS = ("areal", "linear", "cap", "uniform")
SIZE = (1024, 1024)
STORED = (8, 16, 32)
VARIANTS: dict[str, list[dict[str, int | float | str]]] = {
    "sample": [
        {"QUALITY": quality, "ELEMENT": element, "WARPED": warped}
        for quality in range(4)
        for element in range(3)
        for warped in range(2)
    ],
    "ingest": [{"BYTES": 1, "STORED": stored} for stored in STORED] + [{"BYTES": 0, "STORED": s} for s in (16, 32)],
    "reduce": [{"STORED": stored} for stored in STORED],
    "statistics": [{**statistics.defines(), "STORED": stored} for stored in STORED],
}
PROGRAMS = [
    *(layouts.log_polar_program(SIZE, law=law) for law in LAWS),
    *(layouts.cortical_program(SIZE, law=law) for law in LAWS),
]


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


@pytest.mark.usefixtures("nvrtc_works")
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_kernels_compile(name: str, architecture: str) -> None:
    for defines in VARIANTS[name]:
        if architecture != "sm_90" and defines.get("QUALITY", 2) != 2:
            continue  # qualities differ in plain arithmetic, which one architecture proves for all
        text = shaders.source(f"cuda/{name}.cu", **defines).text
        assert compile_text(name, text, architecture)[:4] == b"\x7fELF"


@pytest.mark.usefixtures("nvrtc_works")
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_buffer_shaders_compile_as_cuda(architecture: str) -> None:
    programs = PROGRAMS if architecture == "sm_90" else PROGRAMS[:: len(LAWS)]  # the laws too
    translated = [shaders.as_cuda(shaders.source(program.shader, **program.defines)) for program in programs]
    for kernel in translated:
        assert compile_text(kernel.source.name, kernel.source.text, architecture)[:4] == b"\x7fELF"


@pytest.mark.usefixtures("nvrtc_works")
def test_an_architecture_newer_than_the_compiler_gets_text_for_the_driver() -> None:
    text = shaders.source("cuda/reduce.cu", STORED=8).text
    assert b".target" in compile_text("reduce", text, "sm_999")


@pytest.mark.usefixtures("nvrtc_works")
def test_a_fault_is_reported_by_file_and_line(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shaders.source("cuda/sample.cu", QUALITY=0, ELEMENT=0, WARPED=0).text
    broken = text.replace(
        "return fminf(fmaxf(ceilf(ratio - RATIO_SLACK)", "return fminf(fmaxf(ceilf(oops - RATIO_SLACK)"
    )
    with pytest.raises(CudaError, match=r'(?s)cuda/footprint\.cuh\(\d+\): error: identifier "oops" is undefined'):
        compile_text("sample", broken, "sm_90")

    class Compiles:
        """No device, and the real compiler."""

        def compile(self, name: str, text: str) -> bytes:
            return compile_text(name, text, "sm_90")

    monkeypatch.setattr(
        "homunculus.bridge.cuda.kernels.source", lambda name, **defines: shaders.Source(name, broken, ())
    )
    with pytest.raises(ShaderError, match=r"(?s)cuda/sample\.cu does not compile: .*footprint\.cuh"):
        Kernels(Compiles()).get("sample", "sample", {})  # type: ignore[arg-type]


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


def test_a_shader_with_textures_is_not_translated() -> None:
    with pytest.raises(ValueError, match="use no texture or image"):
        shaders.as_cuda(shaders.source("reduce.comp", FORMAT="rgba8", STORED=8, LEVELS=6))


def test_what_is_translated() -> None:
    kernel = shaders.as_cuda(shaders.source("plan_log_polar.comp", LAW="LAW_AREAL"))
    assert kernel.group == (256, 1)
    names = [argument.name for argument in kernel.arguments]
    assert names[:2] == ["fixations", "rows"]
    assert {"image_px", "budget", "fixation_count", "given_a_px", "grid_rows"} <= set(names)
    assert '#line 1 "cortex.glsl"' in kernel.source.text
    assert "1.5" not in kernel.source.text.replace("1.5f", "")
