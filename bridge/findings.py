"""What `homunculus doctor` found, and what that makes of the machine, or of a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

HARDWARE, SOFTWARE, TORCH_ONLY, BROKEN = 0, 10, 20, 30
VERDICTS = {
    HARDWARE: "a GPU's texture units work, by OpenGL, by CUDA or by both, as the lines above tell",
    SOFTWARE: "OpenGL runs on the CPU; results are right, speed is the processor's",
    TORCH_ONLY: "no OpenGL here; the torch backend does the same, more slowly",
    BROKEN: "a backend opens but gives wrong results; do not trust it",
}


@dataclass(frozen=True)
class Finding:
    """One thing looked at. ok is None where there is nothing to judge."""

    topic: str
    ok: bool | None
    text: str
    remedy: str = ""


@dataclass
class Report:
    """Findings in the order they were made, and the class of machine: exit_code is 0 with OpenGL or CUDA on a GPU, 10 with OpenGL on the
    CPU, 20 with torch alone, 30 where a backend gives wrong results. cuda: whether an NVIDIA driver is loaded. verdicts: what each
    exit_code says, by default of a machine."""

    findings: list[Finding] = field(default_factory=list)
    exit_code: int = TORCH_ONLY
    cuda: bool = False
    verdicts: Mapping[int, str] = field(default_factory=lambda: VERDICTS)

    def add(self, topic: str, ok: bool | None, text: str, remedy: str = "") -> None:
        self.findings.append(Finding(topic, ok, text, remedy))

    @property
    def verdict(self) -> str:
        return self.verdicts[self.exit_code]

    @property
    def lines(self) -> list[str]:
        marks = {True: "ok  ", False: "no  ", None: "    "}
        lines = []
        for finding in self.findings:
            lines.append(f"{marks[finding.ok]} {finding.topic:<14} {finding.text}")
            if finding.remedy:
                lines.append(f"{'':19} remedy: {finding.remedy}")
        return [*lines, "", f"verdict: {self.verdict} (exit status {self.exit_code})"]

    def as_dict(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict,
            "exit_code": self.exit_code,
            "findings": [asdict(finding) for finding in self.findings],
        }
