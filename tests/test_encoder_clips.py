"""FoveatedViT of models that read clips: against their own forward, and what must hold however long the tokens last."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import (
    CLIPS,
    build,
    native_plan,
    native_times,
    own_clip,
    own_forward,
    randomised,
    tiles,
    tiny,
    tubelets,
)
from torch import Tensor

import homunculus as hm
from homunculus.bridge.plan import SamplePlan
from homunculus.encoder.coordinates import Coordinates

PAIRS = (
    "qwen2_vl_vision", "qwen2_5_vl_vision", "qwen3_vl_vision", "qwen3_5_vision", "qwen4_exp_vision", "glm4v_vision", "glm4v_moe_vision",
    "glm_ocr_vision",
)  # fmt: skip
READERS = (*CLIPS, *PAIRS)
SIZE = (32, 32)


@pytest.fixture(autouse=True)
def _reproducible() -> None:
    torch.manual_seed(0)


def close(a: Tensor, b: Tensor, tolerance: float = 1e-5) -> None:
    torch.testing.assert_close(a, b, atol=tolerance, rtol=tolerance)


def over(plan: SamplePlan, times: int) -> SamplePlan:
    """The plan's footprints once for each of as many times."""
    return SamplePlan(plan.footprints.repeat(times, 1), plan.patch_size)


def whole(vit: hm.FoveatedViT, family: str, clip: Tensor, **options: Any) -> Tensor:
    """What it makes of the full native grid of a clip, as `own_clip` gives it."""
    size = (clip.shape[2], clip.shape[3])
    grid = native_plan(*size)
    seen = vit(tubelets(clip), over(grid, len(clip) // 2), size, times=native_times(len(clip), len(grid)), **options)
    return seen.last_hidden_state if family in CLIPS else seen.tokens[None]


def scattered(count: int = 12, size: tuple[int, int] = (90, 120)) -> tuple[SamplePlan, Tensor, Tensor]:
    """A plan of many sides, times of three spans, and pixels."""
    generator = torch.Generator().manual_seed(3)
    at, side = (torch.rand(count, *shape, generator=generator) for shape in ((2,), ()))
    plan = SamplePlan.squares(at * torch.tensor([size[1], size[0]]), 4 + 40 * side, 8)
    spans = torch.tensor([[0, 4], [4, 1], [5, 2]])
    return plan, spans[torch.arange(count) % 3], torch.randn(count, 2, 3, 8, 8, generator=generator)


@pytest.mark.parametrize(
    ("family", "frames"), [*((family, frames) for family in ("vjepa2", *PAIRS) for frames in (2, 4, 10)), ("vivit", 8)]
)
@torch.no_grad()
def test_on_the_native_grid_of_a_clip_it_is_the_model_itself(family: str, frames: int) -> None:
    clip = torch.randn(frames, 3, *SIZE)
    own = own_clip(family, tiny(family), clip)
    assert own.std() > 0.1
    vit = hm.FoveatedViT(tiny(family))
    assert vit.frames == 2
    close(whole(vit, family, clip), own)
    for options in ({"area_attention": True}, {"position": "footprint"}):
        close(whole(hm.FoveatedViT(tiny(family), **options), family, clip), own)


@pytest.mark.parametrize("family", READERS)
@torch.no_grad()
def test_a_still_picture_is_one_pair_of_itself(family: str) -> None:
    image, vit = torch.randn(3, *SIZE), hm.FoveatedViT(tiny(family))
    still = vit(tiles(image), native_plan(*SIZE), SIZE)
    pair = whole(vit, family, image.expand(2, -1, -1, -1))
    close(still.last_hidden_state if family in CLIPS else still.tokens[None], pair)
    if family == "vjepa2":
        close(still.last_hidden_state, own_clip(family, tiny(family), image[None]))
    if family in PAIRS:
        close(still.last_hidden_state, own_forward(family, tiny(family), image)[0])


@pytest.mark.parametrize("size", [(24, 56), (40, 16)])
@pytest.mark.parametrize("family", ["vjepa2", *PAIRS])
@torch.no_grad()
def test_of_frames_of_another_shape_it_is_the_model_itself(family: str, size: tuple[int, int]) -> None:
    if family == "qwen2_5_vl_vision" and size[0] % 16:
        size = (32, 48)
    clip = torch.randn(6, 3, *size)
    own = its_layers(clip) if family == "vjepa2" else own_clip(family, tiny(family), clip)
    close(whole(hm.FoveatedViT(tiny(family)), family, clip), own)


def its_layers(clip: Tensor, keep: Tensor | None = None) -> Tensor:
    """V-JEPA 2's own embedding and layers, told where tokens are by its masks, on a grid of 8 x 8: it counts in square ones alone."""
    with torch.no_grad():
        model = deepcopy(tiny("vjepa2"))
        for module in model.modules():
            if hasattr(module, "grid_size"):
                module.grid_size = 8
        x = model.encoder.embeddings(clip[None])
        rows, columns = clip.shape[2] // 8, clip.shape[3] // 8
        token = torch.arange(x.shape[1])
        time, place = token // (rows * columns), token % (rows * columns)
        ids = 64 * time + 8 * (place // columns) + place % columns
        if keep is not None:
            x, ids = x[:, keep], ids[keep]
        for layer in model.encoder.layer:
            x = layer(x, ids[None])[0]
        return model.encoder.layernorm(x)  # type: ignore[no-any-return]


@torch.no_grad()
def test_some_tokens_of_a_clip_are_what_the_models_own_masks_give() -> None:
    """V-JEPA 2: any subset, in any order, and the model's own square grid, for which no masks are needed."""
    clip, vit = torch.randn(6, 3, *SIZE), hm.FoveatedViT(tiny("vjepa2"))
    close(its_layers(clip), own_clip("vjepa2", tiny("vjepa2"), clip))
    keep = torch.randperm(48)[:19]
    plan = SamplePlan(over(native_plan(*SIZE), 3).footprints[keep], 8)
    seen = vit(tubelets(clip)[keep], plan, SIZE, times=native_times(6, 16)[keep])
    close(seen.last_hidden_state, its_layers(clip, keep))


@pytest.mark.parametrize("size", [(40, 40), (24, 56)])
@torch.no_grad()
def test_a_table_over_time_is_read_as_interpolate_resizes_it(size: tuple[int, int]) -> None:
    """ViViT, whose own resizing takes the whole of its table for a square: bicubic over the frame, linear over time."""
    vit = hm.FoveatedViT(tiny("vivit"))
    assert vit.native_grid == (4, 4)
    table = vit.family.tower.embeddings.position_embeddings[0, 1:].reshape(4, 4, 4, 32).permute(0, 3, 1, 2)
    grid = native_plan(*size)
    frame = torch.nn.functional.interpolate(table, (size[0] // 8, size[1] // 8), mode="bicubic").flatten(2)
    frame = torch.cat([frame, frame[-1:]])  # beyond its last square it is that
    for first, frames, time in (
        (0, 2, 0),
        (1, 2, 0.5),
        (2, 2, 1),
        (0, 3, 0.25),
        (1, 8, 2),
        (6, 2, 3),
        (20, 1, 3),
        (0, 0.5, 0),
    ):
        at = Coordinates.of([grid], size, torch.device("cpu"))
        at = at.lasting(torch.tensor([[first, frames]]).expand(len(grid), 2), 2, 1)
        close(vit.family.positions(at, "center")[0], torch.lerp(frame[int(time)], frame[int(time) + 1], time % 1).T)
    mean = vit.family.positions(at.lasting(torch.tensor([[2, 4]]).expand(len(grid), 2), 2, 1), "footprint")
    apart = [
        vit.family.positions(at.lasting(torch.tensor([[first, 2]]).expand(len(grid), 2), 2, 1), "footprint")
        for first in (2, 4)
    ]
    close(mean, (apart[0] + apart[1]) / 2)


@pytest.mark.parametrize("family", READERS)
@torch.no_grad()
def test_a_still_clip_says_the_same_whatever_the_duration_but_where_it_is_in_time(family: str) -> None:
    """Tokens of a long span that lie in the middle of it are those of a pair there, and others are not the same."""
    plan, _, _ = scattered()
    pixels = torch.randn(12, 1, 3, 8, 8).expand(-1, 2, -1, -1, -1)
    vit = hm.FoveatedViT(tiny(family))

    def seen(first: float, frames: float) -> Tensor:
        return vit(pixels, plan, (90, 120), times=torch.tensor([[first, frames]]).expand(12, 2)).tokens

    pair = seen(2, 2)
    for first, frames in ((0, 6), (1, 4), (2.5, 1), (2.75, 0.5)):
        close(seen(first, frames), pair)
    if family in CLIPS:
        assert (seen(0, 2) - pair).abs().max() > 1e-3
    else:  # these towers know nothing of time but what is in one span
        close(seen(0, 2), pair)
        close(seen(0.3, 16), pair)


@pytest.mark.parametrize("family", READERS)
@torch.no_grad()
def test_where_a_token_is_in_time_matters_to_those_that_see_it(family: str) -> None:
    plan, times, pixels = scattered()
    vit = hm.FoveatedViT(tiny(family))
    seen = vit(pixels, plan, (90, 120), times=times).tokens
    assert seen.shape == (12, vit.dim)
    assert seen.isfinite().all()
    moved = times.float()
    moved[0, 0] += 0.5
    difference = (vit(pixels, plan, (90, 120), times=moved).tokens - seen).abs().amax(-1)
    if family in CLIPS:
        assert difference.min() > 1e-5
    else:  # its old fellows, and itself, which is now alone
        fellows = (times == times[0]).all(-1)
        assert difference[fellows].min() > 1e-5
        assert difference[~fellows].max() < 1e-5


@pytest.mark.parametrize("family", PAIRS)
@torch.no_grad()
def test_spans_do_not_see_one_another(family: str) -> None:
    """However many tokens each has: each is what it is alone, but for the clip."""
    plan, times, pixels = scattered()
    vit = hm.FoveatedViT(tiny(family), area_attention=True, position="footprint")
    times = torch.cat([times[:2], times[2:4].flip(0), times[:1].expand(8, 2)])
    seen = vit(pixels, plan, (90, 120), times=times).tokens
    for span in times.unique(dim=0):
        own = (times == span).all(-1)
        alone = vit(pixels[own], SamplePlan(plan.footprints[own], 8), (90, 120), times=times[own]).tokens
        close(seen[own], alone)
        still = vit(pixels[own][:, 0], SamplePlan(plan.footprints[own], 8), (90, 120)).tokens
        assert (still - alone).abs().max() > 1e-3


@pytest.mark.parametrize("family", READERS)
@torch.no_grad()
def test_the_order_of_tokens_is_free_and_a_batch_is_its_singles(family: str) -> None:
    plan, times, pixels = scattered()
    vit, order = hm.FoveatedViT(tiny(family), area_attention=True, position="footprint"), torch.randperm(12)
    seen = vit(pixels, plan, (90, 120), times=times).tokens
    turned = SamplePlan(plan.footprints[order], 8)
    close(vit(pixels[order], turned, (90, 120), times=times[order]).tokens, seen[order])
    both = vit(
        torch.stack([pixels, pixels[order]]), [plan, turned], (90, 120), times=torch.stack([times, times[order]])
    ).tokens
    close(both, torch.stack([seen, seen[order]]))
    one_plan = vit(torch.stack([pixels, pixels]), plan, (90, 120), times=torch.stack([times, times[order]])).tokens
    close(one_plan[0], seen)
    close(one_plan[1], vit(pixels, plan, (90, 120), times=times[order]).tokens)
    close(vit(torch.stack([pixels, pixels]), [plan, turned], [(90, 120), (64, 64)], times=times).tokens[0], seen)


@pytest.mark.parametrize("family", READERS)
@torch.no_grad()
def test_two_halves_of_a_token_in_time_count_as_the_whole(family: str) -> None:
    """In a model that is told volumes, and that knows no other difference between them: where they lie is the same here."""
    plan, _, pixels = scattered()
    times = torch.tensor([[0.0, 2.0]]).repeat(12, 1)
    twice = torch.tensor([*range(12), 3])
    vit = hm.FoveatedViT(tiny(family), area_attention=True)
    kept = vit(pixels, plan, (90, 120), times=times).tokens
    split = SamplePlan(plan.footprints[twice], 8)
    if family in PAIRS:  # spans are segments: both halves in one, each of half the area
        area = plan.area_px[twice] * torch.where(twice == 3, 0.5, 1.0)
        halves = vit(pixels[twice], split, (90, 120), times=times[twice], area_px=area).tokens
    else:  # as long as half of it, around its middle
        times = times[twice]
        times[twice == 3] = torch.tensor([0.5, 1.0])
        halves = vit(pixels[twice], split, (90, 120), times=times).tokens
    close(halves[:12], kept)


@pytest.mark.parametrize("family", READERS)
def test_gradients_reach_pixels_and_places(family: str) -> None:
    plan, times, pixels = scattered()
    pixels.requires_grad_()
    rows = plan.footprints.requires_grad_()
    vit = hm.FoveatedViT(tiny(family), position="footprint", area_attention=True)
    vit(pixels, SamplePlan(rows, 8), (90, 120), times=times).tokens.square().mean().backward()
    for gradient in (pixels.grad, rows.grad):
        assert gradient is not None
        assert gradient.isfinite().all()
        assert (gradient.flatten(1).abs().amax(1) > 0).all()


@pytest.mark.parametrize("family", READERS)
@torch.no_grad()
def test_in_half_precision_it_is_the_model_itself(family: str) -> None:
    clip, model = torch.randn(8, 3, *SIZE).bfloat16(), deepcopy(tiny(family)).bfloat16()
    own = own_clip(family, model, clip)
    seen = whole(hm.FoveatedViT(model), family, clip)
    assert seen.dtype == torch.bfloat16
    assert (seen.float() - own.float()).abs().max() <= 2e-2 * own.float().abs().max()


@pytest.mark.parametrize("family", READERS)
def test_it_never_waits_for_the_device(family: str) -> None:
    vit = hm.FoveatedViT(tiny(family), position="footprint", area_attention=True)
    with torch.no_grad():
        state = {name: value.to("meta") for name, value in (*vit.named_parameters(), *vit.named_buffers())}
        pixels, plan = torch.empty(2, 9, 2, 3, 8, 8, device="meta"), SamplePlan(torch.empty(9, 8, device="meta"), 8)
        for times in (torch.empty(9, 2, device="meta"), torch.tensor([[0, 2]]).expand(9, 2)):
            seen = torch.func.functional_call(vit, state, (pixels, plan, (90, 120)), {"times": times})
            assert seen.tokens.shape == (2, 9, vit.dim)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("family", READERS)
def test_on_a_gpu_it_never_waits_and_agrees(family: str) -> None:
    plan, times, pixels = scattered()
    vit = hm.FoveatedViT(randomised(build(family)), position="footprint", area_attention=True)
    with torch.no_grad():
        expected = vit(pixels, plan, (90, 120), times=times).tokens
        vit, there, pixels, known = vit.cuda(), plan.to("cuda"), pixels.cuda(), times.cuda()
        vit(pixels, there, (90, 120), times=known)
        torch.cuda.set_sync_debug_mode("error")
        try:
            tokens = vit(pixels, there, (90, 120), times=known).tokens
        finally:
            torch.cuda.set_sync_debug_mode("default")
    close(tokens.cpu(), expected, 1e-3)


@torch.no_grad()
def test_intermediates_are_the_models_own() -> None:
    clip = torch.randn(8, 3, *SIZE)
    grid, times = over(native_plan(*SIZE), 4), native_times(8, 16)
    for family in CLIPS:
        seen = hm.FoveatedViT(tiny(family))(
            tubelets(clip), grid, SIZE, times=times, hidden=("embeddings", "layer.1")
        ).hidden
        options = {"skip_predictor": True} if family == "vjepa2" else {}
        own = tiny(family)(clip[None], output_hidden_states=True, **options).hidden_states
        close(seen["embeddings"], own[0])
        close(seen["layer.1"], own[2])
    model = randomised(build("vivit"))
    model.set_attn_implementation("eager")
    seen = hm.FoveatedViT(model)(tubelets(clip), grid, SIZE, times=times, hidden=("attention.1",)).hidden["attention.1"]
    close(seen, model(clip[None], output_attentions=True).attentions[1][:, :, 0])
    for family in ("vjepa2", "qwen3_vl_vision"):
        with pytest.raises(hm.ModelError, match="has no class token whose attention could be read; ask for layers"):
            hm.FoveatedViT(tiny(family))(tubelets(clip), grid, SIZE, times=times, hidden=("attention.1",))


def test_the_example_of_the_page_says_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[1] / "docs" / "vit.md").read_text("utf-8")
    source = page.split("```python\n")[1].split("```")[0]
    exec(source, {})
    assert capsys.readouterr().out.strip() == source.rsplit("# ", 1)[1].strip()


# From folders


@pytest.mark.parametrize("family", CLIPS)
@torch.no_grad()
def test_a_saved_model_comes_back_the_same_and_silently(
    family: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tiny(family).save_pretrained(tmp_path)
    capfd.readouterr()
    loaded = hm.FoveatedViT.from_pretrained(tmp_path)
    assert capfd.readouterr() == ("", "")
    clip = torch.randn(4, 3, *SIZE)
    close(whole(loaded, family, clip), whole(hm.FoveatedViT(tiny(family)), family, clip))
    half = hm.FoveatedViT.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert whole(half, family, clip).dtype == torch.bfloat16


OF_CLIPS = {
    "video_processor_type": "VJEPA2VideoProcessor",
    "do_normalize": True,
    "image_mean": [0.1, 0.2, 0.3],
    "image_std": [0.5] * 3,
}
IN_VIVITS_WAY = {"image_processor_type": "VivitImageProcessor", "offset": True, "rescale_factor": 1 / 127.5} | {
    "do_rescale": True, "do_normalize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3,
}  # fmt: skip


@pytest.mark.parametrize(
    ("family", "file", "settings", "mean", "std"),
    [
        ("vjepa2", "video_preprocessor_config.json", OF_CLIPS, (0.1, 0.2, 0.3), (0.5, 0.5, 0.5)),
        ("vjepa2", "video_preprocessor_config.json", OF_CLIPS | {"do_normalize": False}, (0, 0, 0), (1, 1, 1)),
        ("vjepa2", "video_preprocessor_config.json", {}, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        (
            "vivit",
            "preprocessor_config.json",
            IN_VIVITS_WAY,
            (0.75, 0.75, 0.75),
            (0.25, 0.25, 0.25),
        ),  # -3 to 1, as it is published
    ],
)
def test_normalisation_comes_with_the_model(
    family: str, file: str, settings: dict[str, Any], mean: tuple[float, ...], std: tuple[float, ...], tmp_path: Path
) -> None:
    tiny(family).save_pretrained(tmp_path)
    (tmp_path / file).write_text(json.dumps(settings), "utf-8")
    loaded = hm.FoveatedViT.from_pretrained(tmp_path)
    assert (*loaded.mean, *loaded.std) == pytest.approx((*mean, *std), abs=1e-6)


@pytest.mark.parametrize("wrong", [{"image_std": [0, 1, 1]}, {"image_mean": "many"}, {"image_mean": [0.5, 0.5]}])
def test_a_normalisation_that_is_none_is_refused(wrong: dict[str, Any], tmp_path: Path) -> None:
    tiny("vjepa2").save_pretrained(tmp_path)
    (tmp_path / "video_preprocessor_config.json").write_text(json.dumps(OF_CLIPS | wrong), "utf-8")
    with pytest.raises(hm.ModelError, match=r"image_mean .* and image_std .*; expected three numbers each"):
        hm.FoveatedViT.from_pretrained(tmp_path)


@torch.no_grad()
def test_of_a_classifier_and_of_an_encoder_alone_the_encoder_is_taken(tmp_path: Path) -> None:
    import transformers as t
    from safetensors.torch import load_file, save_file

    clip = torch.randn(4, 3, *SIZE)
    classifier = randomised(t.VJEPA2ForVideoClassification(tiny("vjepa2").config))
    classifier.save_pretrained(tmp_path)
    expected = own_clip("vjepa2", classifier.vjepa2, clip)
    close(whole(hm.FoveatedViT.from_pretrained(tmp_path), "vjepa2", clip), expected)
    close(whole(hm.FoveatedViT(classifier), "vjepa2", clip), expected)
    tiny("vjepa2").save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    alone = {name: value for name, value in weights.items() if name.startswith("encoder.")}
    save_file(alone, tmp_path / "model.safetensors", {"format": "pt"})
    loaded = hm.FoveatedViT.from_pretrained(tmp_path)
    assert loaded.model.predictor is None
    close(whole(loaded, "vjepa2", clip), own_clip("vjepa2", tiny("vjepa2"), clip))


# What is refused


def refused(family: str = "vjepa2", **changed: Any) -> str:
    clip = torch.zeros(4, 3, *SIZE)
    given = {
        "pixels": tubelets(clip),
        "plan": over(native_plan(*SIZE), 2),
        "size": SIZE,
        "times": native_times(4, 16),
    } | changed
    with pytest.raises(hm.ModelError) as error:
        hm.FoveatedViT(tiny(family))(**given)
    return str(error.value)


def test_what_does_not_fit_is_refused_with_both_values_and_the_remedy() -> None:
    assert refused("dinov2") == (
        "dinov2 reads pictures, whose tokens have no times; leave times out, or take a model of clips (docs/models.md)"
    )
    assert refused(pixels=torch.zeros(32, 3, 8, 8)) == (
        "pixels are torch.float32 (32, 3, 8, 8); expected floats [N, 2, 3, 8, 8] or [B, N, 2, 3, 8, 8]"
    )
    assert "expected floats [N, 2, 3, 8, 8] or" in refused(pixels=torch.zeros(32, 4, 3, 8, 8))
    assert refused(pixels=torch.zeros(3, 32, 2, 3, 8, 8), times=None).endswith(
        "expected floats [N, 3, 8, 8] or [B, N, 3, 8, 8], and with times [N, 2, 3, 8, 8] or [B, N, 2, 3, 8, 8]"
    )
    assert refused(times=None) == (
        "2 patches for a plan of 32 footprints; give the patches that this plan sampled, and of a clip's the times, too"
    )
    assert refused(times=torch.zeros(31, 2)) == (
        "times are (31, 2); expected (first frame, frames) of each of 32 tokens, [32, 2] or [B, 32, 2], such as clip.timeline.times(plan)"
    )
    assert "times are (3, 32, 2)" in refused(times=torch.ones(3, 32, 2))
    for first, frames in ((0, 0), (-1, 2), (0, float("nan")), (float("inf"), 2)):
        times = native_times(4, 16).float()
        times[7] = torch.tensor([first, frames])
        text = refused(times=times)
        assert text.startswith(
            f"times have a token of (first frame, frames) ({float(first)}, {float(frames)}); the first is at least 0"
        )


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (
            "timesformer",
            "its attention is divided between space and time, over a rectangle of equal places in every frame",
        ),
        (
            "videomae",
            "its positions are a sinusoid of the running number of a patch, which has no value between rows or frames",
        ),
        ("videoprism", "it attends over time between equal places of all frames, so every frame needs the same tokens"),
        (
            "videoprism_vision_model",
            "it attends over time between equal places of all frames, so every frame needs the same tokens",
        ),
        (
            "xclip_vision_model",
            "every frame is a picture of its own with a class token, which hands a message to a fixed number of others",
        ),
    ],
)
def test_what_cannot_be_fed_with_clips_says_why(kind: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(f'{{"model_type": "{kind}"}}', "utf-8")
    with pytest.raises(hm.ModelError) as error:
        hm.FoveatedViT.from_pretrained(tmp_path)
    assert f"model type '{kind}' is not supported: {reason}; docs/models.md" in str(error.value)
