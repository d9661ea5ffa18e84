"""The engine ray: the same bytes, the dead replaced, and a refusal, soon, for what cannot be."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import echo_actor
import pytest
from test_run import COUNT, HERE, NAMES, picture, shards, sources

import homunculus as hm
from homunculus.bridge.errors import ProcessError
from homunculus.bridge.processes import Lost
from homunculus.loop.run import on_ray
from homunculus.loop.run.actors import Actors
from homunculus.loop.run.on_ray import PlacedWorker, Ray
from homunculus.loop.run.settings import RunSettings
from homunculus.loop.run.worker import OpenWorker

pytestmark = [
    pytest.mark.skipif(
        find_spec("ray") is None, reason="the engine ray needs Ray"
    ),  # importing it here would be too early
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Ray on two CPUs, started as the engine starts it; afterwards nothing of it is left."""
    place, before = Path(tempfile.gettempdir()), signal.getsignal(signal.SIGTERM)
    forgotten = place / f"{on_ray.SESSION}0forgotten{os.getpid()}"
    forgotten.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "cpu_count", lambda: 2)
        patch.delenv("RAY_ADDRESS", raising=False)
        patch.setenv("PYTHONPATH", os.pathsep.join(map(str, (Path(__file__).parents[1], Path(__file__).parent))))
        ray = on_ray._imported()
        with on_ray._connected(ray, None):
            assert not forgotten.exists()
            assert signal.getsignal(signal.SIGTERM) is before
            session = Path(ray._private.worker._global_node.get_session_dir_path())
            (own,) = (folder for folder in session.parents if folder.name.startswith(on_ray.SESSION))
            assert own.stat().st_uid == os.getuid()
            yield ray
    assert not ray.is_initialized()
    assert not own.exists()


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("127.0.0.1:1", "Connection refused"),
        ("ray://127.0.0.1:10001", "only who is on a machine of the cluster"),
        ("nowhere", ".+"),
    ],
)
def test_an_address_where_nobody_answers_is_refused(
    address: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture(tmp_path / "in" / "0.png")
    start = time.monotonic()
    told = rf"Ray at {address} cannot be had: .*{reason}.*; give another address, or use the engine local"
    with pytest.raises(ProcessError, match=told):
        hm.run(tmp_path / "in", tmp_path / "out", engine=Ray(address), **HERE | {"workers": 1})
    assert time.monotonic() - start < 10
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(ProcessError, match=told):
        hm.run(tmp_path / "in", tmp_path / "out", engine="ray", **HERE | {"workers": 1})


def test_a_run_on_ray_keeps_the_same_bytes(cluster: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for seed in range(COUNT):
        picture(tmp_path / "in" / f"{seed}.png", seed)
    hm.run(tmp_path / "in", tmp_path / "calm", shard_rows=2, **HERE)
    result = hm.run(tmp_path / "in", tmp_path / "out", engine="ray", shard_rows=2, **HERE | {"workers": 1})
    assert (result.rows, result.looked, result.errors) == (COUNT, COUNT, [])
    assert sources(tmp_path / "out") == NAMES
    assert shards(tmp_path / "out") == shards(tmp_path / "calm")
    assert "".join(capfd.readouterr()) == ""


def test_pieces_come_back_and_the_dead_are_replaced(cluster: Any, capfd: pytest.CaptureFixture[str]) -> None:
    with Actors(echo_actor.echo, 1, {"CPU": 0.5}) as workers:
        assert workers.facts == [None]
        found = dict(workers.put(["a", "die", "b"]))
        assert found == {"a": "a 1", "die": Lost("died"), "b": "b 1"}
        with pytest.raises(ProcessError, match="OddError: too odd; it happened in a worker"):
            list(workers.put(["a", "odd"]))
        assert not workers._places  # nobody works on for nobody
    assert "".join(capfd.readouterr()) == ""
    ends = time.monotonic() + 20
    while cluster.available_resources()["CPU"] != 2 and time.monotonic() < ends:
        time.sleep(0.1)
    assert cluster.available_resources()["CPU"] == 2


def test_what_cannot_be_had_is_refused_soon(cluster: Any, tmp_path: Path) -> None:
    picture(tmp_path / "in" / "0.png")

    def refused(
        message: str, workers: int = 1, engine: Ray | None = None, kind: Any = ProcessError, **more: Any
    ) -> None:
        start = time.monotonic()
        with pytest.raises(kind, match=message):
            hm.run(tmp_path / "in", tmp_path / "out", engine=engine or Ray(), **HERE | {"workers": workers} | more)
        assert time.monotonic() - start < 10
        assert not (tmp_path / "out" / "manifest.json").exists()

    refused(
        "3 workers of 0.5 CPUs each need 2.5 CPUs, one of them for Ray itself, and the cluster has 2; give --workers 2",
        3,
    )
    refused("2 workers of 1 CPUs each need 3 CPUs, .* give --workers 1, or fewer --cpus", 2, Ray(cpus=1))
    refused("1 workers of 2 CPUs each need 3 CPUs, .* use the engine local", 1, Ray(cpus=2))
    refused("workers is 0; Ray takes at least 1, the engine local also none", 0)
    refused("gpus is 1 and the cluster has 0; give --gpus 0", 1, Ray(gpus=1), backend=None)
    refused("gpus is 3 for 2 workers, 1.5 each; .* give --gpus 2", 2, Ray(gpus=3))
    refused("backend is 'gl' and gpus is 1; .* whichever GPU is a worker's: give gl-cuda", 1, Ray(gpus=1), backend="gl")
    refused("backend is 'cuda' and gpus is 0, .* give --gpus", 1, backend="cuda")
    refused("device is 'cuda' and gpus is 0, .* give --gpus", 1, device="cuda")
    taken = cluster.util.placement_group([{"CPU": 1.75}])
    assert taken.wait(10)
    refused("in 1 s Ray found no place for 1 workers of 0.5 CPU each, and 0.25 CPU are free; wait", 1, Ray(wait_s=1))
    cluster.util.remove_placement_group(taken)


def opened(tmp_path: Path) -> OpenWorker:
    return OpenWorker(RunSettings(backend="torch"), tmp_path)


def test_a_worker_elsewhere_must_be_alike_and_see_the_folder(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    monkeypatch.chdir(tmp_path)
    placed = PlacedWorker(opened(tmp_path), str(tmp_path), on_ray._versions(), gpu=False)
    with pytest.raises(
        ProcessError, match=r"a worker on \S+ does not see this run in .*; give a folder that all machines share"
    ):
        placed().__enter__()
    with pytest.raises(ProcessError, match=r"cannot enter /nowhere \(No such file or directory\); start from a folder"):
        replace(placed, folder="/nowhere")().__enter__()
    with pytest.raises(ProcessError, match=r"has torch \S+ and this machine 1\.0; install one version everywhere"):
        replace(placed, versions=placed.versions | {"torch": "1.0"})().__enter__()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
    with pytest.raises(ProcessError, match=r"was given a GPU, and its torch .* sees none; install a CUDA build there"):
        replace(placed, gpu=True)().__enter__()


def test_of_a_gpu_of_rays_the_backend_is_one_that_knows_whose_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOMUNCULUS_BACKEND", raising=False)
    anything = OpenWorker(RunSettings(), tmp_path)
    assert Ray(gpus=1)._placed(anything).settings.backend == "cuda"
    assert Ray()._placed(anything).settings.backend == "auto"
    assert Ray(gpus=1)._placed(OpenWorker(RunSettings(backend="gl-cuda"), tmp_path)).settings.backend == "gl-cuda"
    monkeypatch.setenv("HOMUNCULUS_BACKEND", "torch")  # workers do not inherit it
    assert Ray(gpus=1)._placed(anything).settings.backend == "torch"
    assert Ray(gpus=0.5)._needs(2) == {"CPU": 0.5, "GPU": 0.25}
    assert Ray(gpus=4)._needs(2) == {"CPU": 0.5, "GPU": 2}


def test_without_ray_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    picture(tmp_path / "in" / "0.png")
    with pytest.raises(ProcessError, match=r"the engine ray needs Ray .*; run: pip install 'homunculus-eye\[ray\]'"):
        hm.run(tmp_path / "in", tmp_path / "out", engine="ray", **HERE | {"workers": 1})
    assert not (tmp_path / "out" / "manifest.json").exists()
