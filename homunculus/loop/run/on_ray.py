"""The engine for more than one machine: Ray starts the workers and hands them shards. It reads nothing, writes nothing, keeps nothing."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from homunculus.bridge.backends import BACKENDS
from homunculus.bridge.errors import ProcessError
from homunculus.bridge.files.passing import passing_folder
from homunculus.bridge.files.writing import RUNNING
from homunculus.bridge.interrupts import kept_from_children
from homunculus.bridge.processes import Crew
from homunculus.bridge.values import number
from homunculus.bridge.versions import version_of
from homunculus.loop.run.actors import Actors
from homunculus.loop.run.worker import READERS, OpenWorker, Worker, readers_on

ALIKE = ("homunculus", "torch", "numpy", "pillow", "transformers")  # versions that every machine must share
SESSION = "homunculus-ray-"
ANSWER_S = 5.0
STORE_BYTES = 2**27  # shards go and entries come: small things
BACKEND = "cuda"  # of a GPU of Ray's: it knows of no EGL device, which might be another worker's
# Read when ray is imported. It would print a paragraph on stdout for every process that dies, which a row tells.
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS_SKIP_REGEX": "worker died or was killed"}


@dataclass(frozen=True)
class Ray:
    """The engine `ray` of `run`. Workers share the folder `out`, and the one in which the run was started.

    address: of a cluster that runs, such as `auto` or host:port, by default that of RAY_ADDRESS; else one is started on this machine and
    ends with the run. gpus: of all workers together, shared among them alike. cpus: of each. wait_s: so long do they wait for a place.
    """

    address: str | None = None
    gpus: float = 0
    cpus: float = 0.5
    wait_s: float = 60

    def __post_init__(self) -> None:
        number("gpus", self.gpus, 0, refusal=ProcessError)
        number("cpus", self.cpus, above=0, refusal=ProcessError)
        number("wait_s", self.wait_s, above=0, refusal=ProcessError)

    @contextmanager
    def crew(self, opened: OpenWorker, workers: int) -> Iterator[Crew[Any, Any]]:
        """Raises ProcessError, before anything is started where that can be known."""
        needs = self._needs(workers)
        placed = PlacedWorker(self._placed(opened), os.getcwd(), _versions(), bool(self.gpus))
        ray = _imported()
        with ExitStack() as stack:
            if not ray.is_initialized():
                address = self.address or os.environ.get("RAY_ADDRESS")
                if not address:
                    self._check(workers, {"CPU": os.cpu_count() or 1, "GPU": torch.cuda.device_count()})
                stack.enter_context(_connected(ray, address))
            self._check(workers, ray.cluster_resources())
            yield stack.enter_context(Actors(placed, workers, needs, wait_s=self.wait_s))

    def _needs(self, workers: int) -> dict[str, float]:
        if workers < 1:
            raise ProcessError(f"workers is {workers}; Ray takes at least 1, the engine local also none")
        share = self.gpus / workers
        if share > 1 and share != int(share):
            raise ProcessError(
                f"gpus is {self.gpus:g} for {workers} workers, {share:g} each; Ray gives a part of one or whole ones: "
                f"give --gpus {int(share) * workers}"
            )
        return {"CPU": self.cpus} | ({"GPU": share} if share else {})

    def _placed(self, opened: OpenWorker) -> OpenWorker:
        """What every worker opens, wherever it is."""
        settings = opened.settings
        backend: Any = settings.backend or os.environ.get("HOMUNCULUS_BACKEND") or "auto"
        cuda = backend in BACKENDS and BACKENDS[backend].cuda
        if not self.gpus and (cuda or torch.device(settings.device).type == "cuda"):
            asked = f"backend is {backend!r}" if cuda else f"device is {settings.device!r}"
            raise ProcessError(
                f"{asked} and gpus is 0, so that Ray gives workers none; give --gpus, one or less a worker"
            )
        if self.gpus and backend == "gl":
            raise ProcessError(
                f"backend is 'gl' and gpus is {self.gpus:g}; OpenGL by itself takes EGL's first device, whichever GPU is a worker's: "
                "give gl-cuda, which looks for the one, or cuda"
            )
        chosen = BACKEND if self.gpus and backend == "auto" else backend
        readers = READERS if self.gpus else readers_on(int(self.cpus))  # of a GPU's worker the core is idle
        return replace(
            opened, settings=replace(settings, backend=chosen), out=Path(os.path.abspath(opened.out)), readers=readers
        )

    def _check(self, workers: int, has: dict[str, float]) -> None:
        """Whether a cluster could ever hold them, were nobody else there."""
        cpus, gpus = has.get("CPU", 0), has.get("GPU", 0)
        if workers * self.cpus + 1 > cpus:
            most = int((cpus - 1) / self.cpus) if cpus > 1 else 0
            remedy = f"give --workers {most}, or fewer --cpus a worker" if most else "use the engine local"
            raise ProcessError(
                f"{workers} workers of {self.cpus:g} CPUs each need {workers * self.cpus + 1:g} CPUs, one of them for Ray itself, and the "
                f"cluster has {cpus:g}; {remedy}"
            )
        if self.gpus > gpus:
            raise ProcessError(f"gpus is {self.gpus:g} and the cluster has {gpus:g}; give --gpus {gpus:g}, or none")


@dataclass(frozen=True)
class PlacedWorker:
    """Opens a worker where Ray has put it. folder: in which the run was started. versions: of what must be the same there."""

    opened: OpenWorker
    folder: str
    versions: dict[str, str | None]
    gpu: bool

    @contextmanager
    def __call__(self) -> Iterator[Worker]:
        if not self.gpu:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""  # they are others', and Ray does not hide them
        elif not torch.cuda.is_available():
            raise ProcessError(
                f"{_here()} was given a GPU, and its torch {torch.__version__} sees none; install a CUDA build there"
            )
        for name, version in _versions().items():
            if version != self.versions[name]:
                raise ProcessError(
                    f"{_here()} has {name} {version} and this machine {self.versions[name]}; install one version everywhere"
                )
        try:
            os.chdir(self.folder)
        except OSError as error:
            raise ProcessError(
                f"{_here()} cannot enter {self.folder} ({error.strerror}); start from a folder that all machines share"
            ) from None
        if not (self.opened.out / RUNNING).exists():
            raise ProcessError(
                f"{_here()} does not see this run in {self.opened.out}; give a folder that all machines share"
            )
        with self.opened() as worker:
            yield worker


def _here() -> str:
    return f"a worker on {_imported().util.get_node_ip_address()}"


def _versions() -> dict[str, str | None]:
    return {name: version_of(name) for name in ALIKE}


def _imported() -> Any:
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        raise ProcessError(f"the engine ray needs Ray ({error}); run: pip install 'homunculus-eye[ray]'") from None
    return ray


@contextmanager
def _connected(ray: Any, address: str | None) -> Iterator[None]:
    """To a cluster at an address, or to one on this machine that lives as long as this."""
    with nullcontext() if address else passing_folder(SESSION) as folder:
        own = {
            "address": "local",
            "num_cpus": os.cpu_count(),
            "include_dashboard": False,
            "object_store_memory": STORE_BYTES,
            "_system_config": {"worker_niceness": 0},
            "_temp_dir": str(folder),
        }
        before = signal.getsignal(signal.SIGTERM)
        try:
            _start(ray, {"address": address} if address else own)
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, before)  # Ray's own would run whatever a SystemExit runs
            yield
        finally:
            ray.shutdown()


def _start(ray: Any, options: dict[str, Any]) -> None:
    address = str(options["address"])
    try:
        if ":" in address:  # where nobody answers Ray asks for minutes
            host, _, port = address.rpartition(":")
            if "/" in host:
                raise ValueError("only who is on a machine of the cluster can run there")
            socket.create_connection((host, int(port)), ANSWER_S).close()
        with kept_from_children():
            ray.init(log_to_driver=False, logging_level="ERROR", **options)
    except Exception as error:  # of many kinds
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ProcessError(
            f"Ray at {address} cannot be had: {reason}; give another address, or use the engine local"
        ) from None
