"""Folders that hold a model and something else: code, pickles, absurd sizes, files elsewhere, and mutations of every kind of file."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_language import save as save_language
from tiny_language import tiny_llava
from tiny_models import tiny, write_tokenizer

import homunculus as hm
from homunculus.encoder import TextEncoder, load
from homunculus.encoder.folder import SETTINGS, open_folder
from homunculus.encoder.weights import check_layers, held
from homunculus.language import Answerer

PREPROCESSOR = {
    "image_processor_type": "CLIPImageProcessor",
    "size": {"height": 32, "width": 32},
    "image_mean": [0.5, 0.4, 0.3],
}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("good")
    for family in ("clip", "vit", "dinov2"):
        tiny(family).save_pretrained(root / family)
        (root / family / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR), "utf-8")
    write_tokenizer(root / "clip", "clip")
    save_language(tiny_llava(), root / "llava")
    return {family: root / family for family in ("clip", "vit", "dinov2", "llava")}


@pytest.fixture
def copied(good: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    return lambda family: Path(shutil.copytree(good[family], tmp_path / family))


def edit(file: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    content = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    change(content)
    file.write_text(json.dumps(content), "utf-8")


def refusal(folder: Path, **options: Any) -> str:
    with pytest.raises(hm.ModelError) as error:
        hm.FoveatedViT.from_pretrained(folder, **options)
    return str(error.value)


# Code

LOADERS = """
import sys, time, homunculus as hm
from homunculus.encoder import TextEncoder, load
from homunculus.language import Answerer
from homunculus.encoder.segment_anything import SegmentAnything
folder = sys.argv[1]
for loader in (
    hm.FoveatedViT.from_pretrained, TextEncoder.from_pretrained, Answerer.from_pretrained, hm.Homunculus.from_pretrained, SegmentAnything,
    lambda name: load.tokenizer(name, local_files_only=True), lambda name: load.processor(name, local_files_only=True),
    lambda name: load.values(name, local_files_only=True),
    lambda name: TextEncoder.from_pretrained(name, model=object()),
):
    begun = time.monotonic()
    try:
        loader(folder)
    except hm.HomunculusError as error:
        print("code" if "which never runs here" in str(error) else f"other: {error}", time.monotonic() - begun < 5)
    else:
        print("loaded")
print(repr(sys.stdin.read()))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "file", ["config.json", "tokenizer_config.json", "preprocessor_config.json", "processor_config.json", "nested"]
)
def test_code_never_runs_and_nobody_is_asked(file: str, copied: Callable[[str], Path], tmp_path: Path) -> None:
    """Every loader, in a process of its own, whose stdin says yes to whatever is asked."""
    folder, marker = copied("clip"), tmp_path / "ran"
    names = (
        "AutoConfig",
        "AutoModel",
        "AutoTokenizer",
        "AutoImageProcessor",
        "AutoProcessor",
        "AutoModelForMaskGeneration",
    )
    code = f"open({str(marker)!r}, 'w').close()\nclass Own: pass\n"
    for module in ("own.py", "__init__.py", "modeling_clip.py"):
        (folder / module).write_text(code, "utf-8")
    (folder / "custom_generate").mkdir()
    (folder / "custom_generate" / "generate.py").write_text(code, "utf-8")
    mapped = {name: ["own.Own", "own.Own"] if name == "AutoTokenizer" else "own.Own" for name in names}
    if file == "nested":
        edit(folder / "config.json", lambda it: it["vision_config"].update(auto_map=mapped))
    else:
        unknown = {"model_type": "own"} if file == "config.json" else {}
        edit(folder / file, lambda it: it.update(auto_map=mapped, **unknown))
    ran = subprocess.run(
        [sys.executable, "-c", LOADERS, str(folder)], input="y\n" * 20, capture_output=True, text=True, timeout=120
    )
    assert not marker.exists(), "code of the folder ran"
    assert ran.returncode == 0, ran.stderr
    *told, left = ran.stdout.splitlines()
    assert told == ["code True"] * 9
    assert left.count("y") == 20, "somebody was asked"


def test_files_of_code_that_nothing_names_are_not_run(copied: Callable[[str], Path], tmp_path: Path) -> None:
    folder, marker = copied("llava"), tmp_path / "ran"
    (folder / "custom_generate").mkdir()
    for module in ("own.py", "modeling_llava.py", "custom_generate/generate.py"):
        (folder / module).write_text(f"open({str(marker)!r}, 'w').close()", "utf-8")
    with Answerer.from_pretrained(folder, backend="torch", budget=20) as answerer:
        assert answerer.processor is not None
    assert not marker.exists()


def test_adapters_and_kernels_and_vocabularies_elsewhere_are_refused(
    copied: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = copied("clip")
    (tmp_path / "vocab.json").write_text("{}", "utf-8")
    edit(folder / "tokenizer_config.json", lambda it: it.update(vocab_file="../vocab.json"))
    assert "tokenizer_config.json reads '../vocab.json', outside its folder; delete vocab_file there" in refusal(folder)
    edit(folder / "tokenizer_config.json", lambda it: it.update(vocab_file="/nowhere/of/its/author/vocab.json"))
    open_folder(folder)
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "../elsewhere"}', "utf-8")
    assert "holds an adapter beside its model; merge them" in refusal(folder)


# Weights


class Bomb:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return (Path.touch, (self.marker,))


@pytest.mark.parametrize("file", ["pytorch_model.bin", "model.pt"])
def test_pickled_weights_are_refused_unread(file: str, copied: Callable[[str], Path], tmp_path: Path) -> None:
    folder = copied("vit")
    (folder / "model.safetensors").unlink()
    torch.save(Bomb(tmp_path / "ran"), folder / file)
    text = refusal(folder)
    assert (
        f"has pickled weights alone ({file}), and unpickling may run code; where you trust them, load them with" in text
    )
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "name", ["../outside.safetensors", "/outside.safetensors", "sub/outside.safetensors", "..", "a.bin", "", 3, None]
)
def test_an_index_names_safetensors_of_its_own_folder(name: Any, copied: Callable[[str], Path]) -> None:
    folder = copied("vit")
    shutil.move(folder / "model.safetensors", folder.parent / "outside.safetensors")
    index = {"metadata": {}, "weight_map": {"layernorm.weight": name}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), "utf-8")
    text = refusal(folder)
    assert "weights are .safetensors files in the same folder" in text or "has no weight_map" in text


def test_shards_load_and_missing_ones_are_named(copied: Callable[[str], Path]) -> None:
    folder = copied("vit")
    whole = hm.FoveatedViT.from_pretrained(folder)
    tiny("vit").save_pretrained(folder, max_shard_size="20KB")
    (folder / "model.safetensors").unlink()
    shards = sorted(folder.glob("model-*.safetensors"))
    assert len(shards) > 1
    again = hm.FoveatedViT.from_pretrained(folder)
    assert all(torch.equal(one, other) for one, other in zip(whole.parameters(), again.parameters(), strict=True))
    shards[0].unlink()
    assert f"lacks {shards[0].name}, which model.safetensors.index.json names" in refusal(folder)


# Sizes


@pytest.mark.parametrize(
    ("family", "change", "told"),
    [
        ("vit", {"hidden_size": "32"}, "has hidden_size '32'; expected a whole number from 1 to 131072"),
        ("vit", {"hidden_size": 32.5}, "has hidden_size '32.5'"),
        ("vit", {"hidden_size": True}, "has hidden_size 'True'"),
        ("vit", {"hidden_size": None}, ""),
        ("vit", {"hidden_size": -32}, "has hidden_size '-32'"),
        ("vit", {"hidden_size": 10**9}, "has hidden_size '1000000000'"),
        ("vit", {"hidden_size": 2**17}, "numbers in its config.json and its weights hold"),
        ("vit", {"hidden_size": 36}, "could not be loaded ("),
        ("vit", {"num_attention_heads": 0}, "has num_attention_heads '0'; expected a whole number from 1 to 4096"),
        ("vit", {"num_attention_heads": 5}, "hidden_size 32, which num_attention_heads 5 does not divide"),
        ("vit", {"num_hidden_layers": 10**6}, "has num_hidden_layers '1000000'; expected a whole number from 1 to 1024"),
        ("vit", {"num_hidden_layers": 1000}, "asks for 1000 layers (num_hidden_layers) and its weights hold"),
        ("vit", {"num_hidden_layers": 4}, "of the tensors its config.json asks for"),
        ("vit", {"num_hidden_layers": [3]}, "has num_hidden_layers '[3]'"),
        ("vit", {"patch_size": [8, 4]}, "has patch_size [8, 4]; patches and training images must be square here"),
        ("vit", {"patch_size": [8, 8, 8]}, "has patch_size '[8, 8, 8]'"),
        ("vit", {"patch_size": 0}, "has patch_size '0'"),
        ("vit", {"image_size": [16, 64]}, "has image_size [16, 64]; patches and training images must be square"),
        ("vit", {"image_size": 2**15}, "numbers in its config.json"),
        ("vit", {"num_channels": 1}, "has num_channels '1'; expected 3"),
        ("vit", {"hidden_act": "nonsense"}, "could not be loaded ("),
        ("vit", {"model_type": None}, "has model_type None; expected a name such as 'clip'"),
        ("vit", {"model_type": []}, "has model_type []"),
        ("vit", {"transformers_weights": "../outside.safetensors"}, "names its weights itself"),
        ("dinov2", {"mlp_ratio": 1e9}, "has mlp_ratio '1000000000.0'"),
        ("clip", {"vision_config": []}, ""),
        ("clip", {"vision_config": {"hidden_size": "32"}}, "config.json, vision_config has hidden_size '32'"),
        ("clip", {"text_config": {"num_hidden_layers": 10**6}}, "config.json, text_config has num_hidden_layers '1000000'"),
        ("clip", {"text_config": {"vocab_size": 2**24, "hidden_size": 2**17}}, ""),
        ("clip", {"num_labels": 10**12}, "has num_labels '1000000000000'"),
    ],
)  # fmt: skip
def test_sizes_that_no_model_has_are_refused_at_once(
    family: str, change: dict[str, Any], told: str, copied: Callable[[str], Path]
) -> None:
    folder = copied(family)
    edit(folder / "config.json", lambda it: it.update(change))
    begun = time.process_time()
    assert told in refusal(folder)
    assert time.process_time() - begun < 10


@pytest.mark.slow
@pytest.mark.parametrize("family", ["clip", "vit", "dinov2"])
def test_squares_may_be_given_as_pairs(family: str, copied: Callable[[str], Path]) -> None:
    folder, pair = copied(family), {"patch_size": [8, 8], "image_size": [32, 32]}
    edit(folder / "config.json", lambda it: it.get("vision_config", it).update(pair))
    vit = hm.FoveatedViT.from_pretrained(folder)
    assert (vit.patch_size, vit.native_grid) == (8, (4, 4))
    if family == "clip":
        TextEncoder.from_pretrained(folder)


# What the caller gives


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"attention": "flash_attention_2"}, "attention 'flash_attention_2' is not installed here; take 'sdpa'"),
        ({"attention": "flash_attention_3"}, "attention 'flash_attention_3' is not installed here; take 'sdpa'"),
        ({"attention": "kernels-community/flash-attn"}, "expected one of sdpa, eager, flash_attention_2"),
        ({"attention": None}, "attention is None; expected one of sdpa"),
        ({"attention": ["sdpa"]}, "and 'sdpa' works everywhere"),
        ({"dtype": None}, "dtype is None; expected torch.float32"),
        ({"dtype": "float32"}, "dtype is 'float32'; expected torch.float32"),
        ({"dtype": torch.int64}, "dtype is torch.int64"),
        ({"dtype": torch.complex64}, "dtype is torch.complex64"),
        ({"position": "corner"}, "position is 'corner'"),
    ],
)
def test_options_that_cannot_be_had_are_refused(options: dict[str, Any], told: str, good: dict[str, Path]) -> None:
    assert told in refusal(good["vit"], **options)
    if "position" not in options:
        with pytest.raises(hm.ModelError) as error:
            Answerer.from_pretrained(good["llava"], **options)
        assert told in str(error.value)


@pytest.mark.parametrize(
    "name", [None, 3, "", b"folder", "a\0b", "x" * 5000, "/" + "x" * 5000, "../" * 3 + "nowhere", "a b/c d"]
)
def test_names_that_are_none_are_refused(name: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    refusal(name, local_files_only=True)


def test_layers_of_a_speaker_that_do_not_exist_are_refused(copied: Callable[[str], Path]) -> None:
    folder = copied("llava")
    for layer in (9, -9, "two", [1, 2.5], None, []):
        edit(folder / "config.json", lambda it, layer=layer: it.update(vision_feature_layer=layer))
        with pytest.raises(hm.ModelError):
            Answerer.from_pretrained(folder)


# Texts


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "files"),
    [
        ("clip", "tokenizer.json, or vocab.json and merges.txt"),
        ("siglip", "tokenizer.json, or spiece.model"),
        ("siglip2", "tokenizer.json, or tokenizer.model"),
    ],
)
def test_a_folder_without_a_vocabulary_says_which_files_it_lacks(family: str, files: str, tmp_path: Path) -> None:
    tiny(family).save_pretrained(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text("{}", "utf-8")
    for loader in (TextEncoder.from_pretrained, hm.Homunculus.from_pretrained):
        with pytest.raises(hm.ModelError) as error:
            loader(tmp_path)
        assert (
            str(error.value)
            == f"{tmp_path} has no vocabulary for its texts: it needs {files}; copy the folder again, whole"
        )


def test_a_vocabulary_without_a_word_is_refused(copied: Callable[[str], Path]) -> None:
    folder = copied("clip")
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text('{"<|startoftext|>": 0, "<|endoftext|>": 1}', "utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", "utf-8")
    with pytest.raises(hm.ModelError, match="knows no word, so all texts would be one"):
        TextEncoder.from_pretrained(folder)


def test_a_folder_without_a_processor_says_so(copied: Callable[[str], Path]) -> None:
    folder = copied("llava")
    for file in ("preprocessor_config.json", "processor_config.json"):
        (folder / file).unlink(missing_ok=True)
    with pytest.raises(hm.ModelError, match=r"has no image processor: it needs preprocessor_config\.json"):
        load.processor(folder, local_files_only=True)


# Mutations

VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    1,
    2,
    3.5,
    1e300,
    10**12,
    10**40,
    "",
    "32",
    "\0",
    [],
    [1],
    [8, 8],
    {},
    {"a": 1},
    [[]],
    "../x",
]


def places(content: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value of nested objects and lists."""
    inner = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return [found for key, value in inner for found in ((*path, key), *places(value, (*path, key)))]


def mutated(data: bytes, chance: random.Random) -> bytes:
    """JSON with one value replaced, removed or renamed, or bytes cut, flipped or put in."""
    kind = chance.randrange(6)
    if kind < 4:
        content = json.loads(data)
        *way, last = chance.choice(places(content))
        inside = content
        for key in way:
            inside = inside[key]
        if kind == 0 and isinstance(inside, dict):
            inside[str(chance.choice(["auto_map", "x", "model_type"]))] = inside.pop(last)
        elif kind == 1:
            del inside[last]
        else:
            inside[last] = chance.choice(VALUES)
        return json.dumps(content).encode()
    at = chance.randrange(len(data))
    if kind == 4:
        return data[:at]
    return (
        data[:at]
        + bytes(chance.randrange(256) for _ in range(chance.randrange(1, 4)))
        + data[at + chance.randrange(3) :]
    )


def read(folder: Path) -> None:
    """All that is read of a folder before a model is built of it."""
    found = open_folder(folder)
    config = found.config()
    load.configuration(found)
    check_layers(found, config, held(found))
    load.normalisation(
        found,
        None if found.settings["preprocessor_config.json"].get("image_processor_type") else load.configuration(found),
    )


@pytest.mark.slow
@pytest.mark.parametrize("family", ["clip", "vit", "dinov2"])
def test_mutations_of_settings_raise_nothing_but_model_errors(family: str, copied: Callable[[str], Path]) -> None:
    folder, chance, refused = copied(family), random.Random(family), 0
    tiny(family).save_pretrained(folder / "sharded", max_shard_size="20KB")
    for file in (folder / "sharded").glob("model*"):
        shutil.move(file, folder / file.name)
    (folder / "model.safetensors").unlink()
    index = folder / "model.safetensors.index.json"
    assert index.is_file()
    read(folder)
    files = [folder / file for file in SETTINGS if (folder / file).is_file()] + [index]
    for turn in range(670):
        file = files[turn % len(files)]
        whole = file.read_bytes()
        file.write_bytes(mutated(whole, chance))
        try:
            read(folder)
        except hm.ModelError:
            refused += 1
        file.write_bytes(whole)
    assert refused > 150


@pytest.mark.slow
@pytest.mark.parametrize("family", ["clip", "vit", "dinov2"])
def test_mutations_of_whole_folders_load_or_raise_model_errors(family: str, copied: Callable[[str], Path]) -> None:
    folder, chance, refused = copied(family), random.Random(7), 0
    names = ["config.json", "model.safetensors", "preprocessor_config.json"]
    names += ["tokenizer.json", "tokenizer_config.json"] if family == "clip" else []
    for turn in range(20):
        file = folder / names[turn % len(names)]
        whole = file.read_bytes()
        if file.suffix == ".safetensors":
            at = chance.randrange(min(len(whole), 4000))
            file.write_bytes(chance.choice([whole[:at], whole[:at] + bytes([chance.randrange(256)]) + whole[at + 1 :]]))
        else:
            file.write_bytes(mutated(whole, chance))
        try:
            vit = hm.FoveatedViT.from_pretrained(folder)
            if family == "clip":
                TextEncoder.from_pretrained(folder, model=vit.model)
        except hm.ModelError:
            refused += 1
        file.write_bytes(whole)
    assert refused >= 5
    hm.FoveatedViT.from_pretrained(folder)
