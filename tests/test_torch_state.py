"""What a program has set in torch changes no plan, no patch and no fixation: default type, default device, autocast and the like."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import white_noise
from torch import Tensor, nn
from torch_states import STATES

import homunculus as hm
from homunculus import allocators, layouts
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.tensors import applied, product, tensor_of
from homunculus.bridge.unit import TextureUnit
from homunculus.relevance import ImageStatistics
from homunculus.relevance.fixation import POLICIES, fixate

ROOT = Path(__file__).parents[1]
SIZE = (160, 240)
every_state = pytest.mark.parametrize("state", STATES)

# Whatever makes values out of nothing, or out of Python's own: torch gives them its default type and device.
CONSTRUCTORS = re.compile(
    r"arange|asarray|as_tensor|bartlett_window|blackman_window|empty|empty_permuted|empty_strided|eye|full|"
    r"hamming_window|hann_window|kaiser_window|linspace|logspace|normal|ones|rand|randint|randn|randperm|range|"
    r"scalar_tensor|sparse_coo_tensor|tensor|tril_indices|triu_indices|zeros"
)
PRODUCTS = re.compile(
    r"addbmm|addmm|addmv|baddbmm|bilinear|bmm|chain_matmul|conv1d|conv2d|conv3d|conv_transpose1d|"
    r"conv_transpose2d|conv_transpose3d|dot|einsum|inner|linear|matmul|mm|multi_dot|mv|outer|"
    r"scaled_dot_product_attention|tensordot"
)
# Where products may be made otherwise: in models, which run as their user has said, and where arrays are numpy's.
MODELS = ("encoder/", "language/", "lab/baselines/", "lab/training/", "lab/needle/")
NUMPY = (
    "lab/bootstrap.py",
    "lab/clips/shown.py",
    "lab/gaze/density.py",
    "lab/gaze/dwell.py",
    "lab/photographs/pictures.py",
    "allocators/cells.py",
    "allocators/hysteresis.py",
    "bridge/slides/registration.py",
)
ELSEWHERE = ("bridge/tensors.py", "relevance/exemplar.py", "report/reconstruction.py")  # float64, or autocast is off


@cache
def sources() -> list[tuple[str, ast.Module]]:
    """Each file of the packages once, by its name within them."""
    files = {path.resolve() for folder in ("bridge", "interop", "homunculus") for path in (ROOT / folder).rglob("*.py")}
    names = {path.relative_to(ROOT).as_posix().removeprefix("homunculus/"): path for path in files}
    return [(name, ast.parse(path.read_text("utf-8"))) for name, path in sorted(names.items())]


def owner_of(node: ast.expr) -> str:
    """A dotted name; empty for anything else."""
    if isinstance(node, ast.Attribute):
        return f"{owner_of(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def calls(tree: ast.Module, *owners: str) -> Iterator[tuple[ast.Call, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):  # noqa: SIM102
            if not owners or owner_of(node.func.value) in owners:
                yield node, node.func.attr


@pytest.mark.slow
def test_every_tensor_that_is_made_says_its_type_and_device() -> None:
    silent = []
    for name, tree in sources():
        for call, function in calls(tree, "torch"):
            if CONSTRUCTORS.fullmatch(function) and not {"dtype", "device"} <= {word.arg for word in call.keywords}:
                silent.append(f"{name}:{call.lineno}: {ast.unparse(call)}")
        for node in ast.walk(tree):
            bare = isinstance(node, ast.Call) and not node.args and not node.keywords
            if bare and owner_of(node.func) in ("torch.finfo", "torch.get_default_dtype"):
                silent.append(f"{name}:{node.lineno}: {ast.unparse(node)}")
            if isinstance(node, ast.ImportFrom) and node.module == "torch":
                silent += [
                    f"{name}:{node.lineno}: {one.name}" for one in node.names if CONSTRUCTORS.fullmatch(one.name)
                ]
    assert not silent, "state dtype and device:\n" + "\n".join(silent)


@pytest.mark.slow
def test_every_layer_that_is_made_says_its_type_and_device() -> None:
    silent = []
    for name, tree in sources():
        for call, kind in calls(tree, "nn", "torch.nn"):
            layer = getattr(nn, kind, None)
            if inspect.isclass(layer) and issubclass(layer, nn.Module):
                needed = {"dtype", "device"} & set(inspect.signature(layer.__init__).parameters)
                if not needed <= {word.arg for word in call.keywords}:
                    silent.append(f"{name}:{call.lineno}: {ast.unparse(call)}")
    assert not silent, "state dtype and device:\n" + "\n".join(silent)


@pytest.mark.slow
def test_products_that_decide_anything_are_made_where_autocast_does_not_reach() -> None:
    narrowed = []
    for name, tree in sources():
        if name.startswith((*MODELS, *NUMPY, *ELSEWHERE)):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.MatMult):
                narrowed.append(f"{name}:{node.lineno}: {ast.unparse(node)}")
        narrowed += [
            f"{name}:{call.lineno}: {ast.unparse(call)}"
            for call, function in calls(tree)
            if PRODUCTS.fullmatch(function)
        ]
    assert not narrowed, "use bridge.tensors.product or applied:\n" + "\n".join(narrowed)


def scene() -> hm.Scene:
    random = torch.Generator().manual_seed(3)
    relevance = torch.rand(50, 75, generator=random, dtype=torch.float32, device="cpu")
    y, x = np.mgrid[0:32, 0:48]
    return hm.Scene(
        SIZE,
        [(0.8 * SIZE[1], 0.78 * SIZE[0])],
        relevance,
        16,
        image=torch.from_numpy(white_noise(*SIZE)),
        regions=torch.from_numpy((y // 12) * 4 + x // 13),
        query="red",
    )


@pytest.fixture(scope="module")
def plans() -> dict[str, SamplePlan]:
    """By name, made in a program that has set nothing."""
    return {name: allocators.get(name).allocate(scene(), 91) for name in allocators.registry}


@pytest.mark.slow
@every_state
@pytest.mark.parametrize("name", allocators.registry)
def test_every_allocator_gives_the_same_bits(name: str, state: str, plans: dict[str, SamplePlan]) -> None:
    told = scene()
    with STATES[state]():
        plan = allocators.get(name).allocate(told, 91)
    assert plan.footprints.dtype == torch.float32
    assert torch.equal(plan.footprints, plans[name].footprints)
    if plan.texels is not None:
        assert torch.equal(plan.texels, plans[name].texels)


@pytest.mark.slow
@every_state
@pytest.mark.parametrize("name", layouts.registry)
def test_every_layout_gives_the_same_bits(name: str, state: str) -> None:
    def made() -> SamplePlan:
        return layouts.get(name)(SIZE, (211.3, 30), 91, 16)

    expected = made()
    with STATES[state]():
        plan = made()
    assert torch.equal(plan.footprints, expected.footprints)
    if plan.texels is not None:
        assert expected.texels is not None
        assert torch.equal(plan.texels, expected.texels)


def picture() -> np.ndarray:
    image = white_noise(*SIZE) // 3 + 60
    image[110:140, 170:200] = (215, 25, 25)
    return image


def seen(unit: TextureUnit) -> dict[str, Tensor]:
    """What the library makes of one picture, by name."""
    image, told = picture(), scene()
    found: dict[str, Tensor] = {}
    with hm.Homunculus(unit, budget=91) as eye:
        look = eye.look(image, query=hm.Query("red square", point=(0.3, 0.7)), fixations=2)
        crop = eye.look(image, query=image[105:145, 165:205])
    assert look.relevance is not None
    assert crop.relevance is not None
    found |= {
        f"relevance {name}": map_ for name, map_ in {**look.relevance.maps, "total": look.relevance.total}.items()
    }
    found |= {"by example": crop.relevance.total, "fixations": look.glimpses[0].fixations.points}
    found |= {"plan": look.plan.footprints, "pixels": look.patches.pixels, "inside": look.patches.inside}
    shown = hm.reconstruct(look.patches.pixels, look.plan, SIZE)
    found |= {"reconstruction": shown.pixels, "covered": shown.covered}
    for policy in POLICIES:
        found[f"fixations {policy}"] = fixate(told.relevance, SIZE, 3, policy=policy, seed=5).points
    glimpse = hm.look(image, (0.3, 0.6), budget=91, unit=unit)
    found |= {"glimpse": glimpse.plan.footprints, "glimpse pixels": glimpse.patches.pixels}
    with unit.pyramid(image.astype(np.float32) / 255) as pyramid, unit.statistics(pyramid) as statistics:
        found |= {"level": pyramid.level(2), "statistics": statistics.level(1)}
        found["image statistics"] = next(iter(ImageStatistics.of(unit, pyramid).sources.values()))
        warped = layouts.cortical(SIZE, (120, 80), 91, 16)
        found["warped"] = unit.sample(pyramid, warped, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.2)).pixels
        program = layouts.log_polar_program(SIZE, 91, 16)
        found["written"] = unit.write_plan(program, [(100.5, 50.5)]).footprints
    found |= {
        name: torch.tensor(value, dtype=torch.float64, device="cpu") for name, value in look.metrics.as_dict().items()
    }
    return found


PLAIN: dict[str, dict[str, Tensor]] = {}  # by backend: what is seen in a program that has set nothing


@pytest.mark.slow
@every_state
def test_everything_that_is_seen_is_the_same_in_every_bit(any_unit: TextureUnit, state: str) -> None:
    if any_unit.backend not in PLAIN:
        PLAIN[any_unit.backend] = seen(any_unit)
    expected = PLAIN[any_unit.backend]
    with STATES[state]():
        found = seen(any_unit)
    different = [
        f"{name}: {value.dtype} {tuple(value.shape)} on {value.device}"
        for name, value in found.items()
        if value.dtype != expected[name].dtype or not torch.equal(value, expected[name].to(value.device))
    ]
    assert not different


def test_numbers_become_a_tensor_on_the_cpu_and_a_tensor_stays_where_it_is() -> None:
    with torch.device("meta"):
        assert tensor_of([[1, 2.5]], torch.float32).tolist() == [[1, 2.5]]
        assert tensor_of(torch.zeros(2, dtype=torch.float64), torch.float32).device.type == "meta"


def test_products_promote_their_types_and_keep_their_gradients() -> None:
    random = torch.Generator().manual_seed(0)
    first, second = (torch.rand(5, 5, generator=random, dtype=torch.float32, device="cpu") for _ in range(2))
    first.requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = product(first, second, second.double())
        layer = applied(nn.Linear(5, 2, dtype=torch.float32, device="cpu"), first)
    assert (found.dtype, layer.dtype) == (torch.float64, torch.float32)
    expected = first.detach().double() @ second.double() @ second.double()
    assert torch.equal(found, expected)
    found.sum().backward()
    assert first.grad is not None
    assert torch.allclose(first.grad, (second.double() @ second.double()).sum(1).float().expand(5, -1))
