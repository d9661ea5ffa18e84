"""Small gaze data sets in the published formats, of random fixations."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.io import savemat

from homunculus.relevance.gaze.bids import write_bids
from homunculus.relevance.gaze.recording import GazeRecording, GazeScreen


def picture(path: Path, size: tuple[int, int]) -> Path:
    """A picture of (height, width) that differs from path to path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(list(path.name.encode()))
    coarse = rng.integers(0, 256, (8, 12, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize(size[::-1], Image.Resampling.NEAREST).save(path)
    return path


def trial(name: str, task: str, subject: int, condition: str = "present", **changes: Any) -> dict[str, Any]:
    """An entry of COCO-Search18's lists: a first fixation in the middle, then three on the display."""
    rng = np.random.default_rng([subject, *name.encode(), *task.encode()])
    x, y = rng.uniform((0, 0), (1680, 1050), (3, 2)).round(2).T.tolist()
    entry = {
        "name": name, "subject": subject, "task": task, "condition": condition, "bbox": [1200, 300, 100, 80],
        "X": [841.0, *x], "Y": [525.9, *y], "T": [191, 222, 241, 300], "length": 4, "correct": 1, "RT": 1190,
        "fixOnTarget": True, "split": "train",
    }  # fmt: skip
    if condition == "absent":
        del entry["bbox"], entry["fixOnTarget"]
    return entry | changes


def cocosearch18(folder: Path) -> Path:
    """Four pictures: two with their target, under train and valid, and two without; three people each."""
    lists: dict[str, list[dict[str, Any]]] = {"TP_train_split1": [], "TP_validation_split1": [], "TA_trainval": []}
    for number, (part, task) in enumerate(
        [("TP_train_split1", "bottle"), ("TP_validation_split1", "potted plant"), ("TA_trainval", "car"),
         ("TA_trainval", "clock")]
    ):  # fmt: skip
        absent = part.startswith("TA")
        name = f"00000000{number}.jpg"
        picture(folder / ("coco_search18_images_TA" if absent else "images") / task / name, (1050, 1680))
        for subject in (1, 2, 3):
            split = "valid" if "validation" in part else "train"
            entry = trial(name, task, subject, "absent" if absent else "present", split=split)
            lists[part].append(entry | {"correct": int(subject != 3)})
    for part, entries in lists.items():
        path = folder / "fixations" / f"coco_search18_fixations_{part}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(entries))
    (folder / "fixations/coco_search18_fixations_TP_train_split2.json").write_text(json.dumps(lists["TP_train_split1"]))
    return folder


QUESTIONS = {"00126851": "What is the cup made of?", "0181887": "Who holds the umbrella?", "16934027": "Is it red?"}
PEOPLE = ("AL", "PK")


def aird(folder: Path) -> Path:
    """Three questions on three pictures, two people each; AL is always right, PK never, and did not try the last."""
    folder.mkdir(parents=True, exist_ok=True)
    images = {question: str(2_300_000 + number) for number, question in enumerate(QUESTIONS)}
    answers: dict[str, dict[str, Any]] = {"question": dict(QUESTIONS), "answer": dict.fromkeys(QUESTIONS, "glass")}
    answers["AL"] = dict.fromkeys(QUESTIONS, "Glass ")
    answers["PK"] = dict.fromkeys(list(QUESTIONS)[:2], "wood") | {list(QUESTIONS)[2]: float("nan")}
    (folder / "consolidated_answers.json").write_text(json.dumps(answers))
    told = {q: {"imageId": images[q], "question": QUESTIONS[q], "answer": "glass"} for q in QUESTIONS}
    (folder / "val_balanced_questions.json").write_text(json.dumps(told))
    for number, question in enumerate(QUESTIONS):
        picture(folder / "stimuli" / f"{images[question]}.jpg", (300, 400))
        for person in PEOPLE:
            rng = np.random.default_rng([number, *person.encode()])
            count = 1 if person == "PK" and number == 1 else 5  # a single fixation is a case of its own in Matlab files
            start = np.arange(count) * 250.0
            path = folder / "fix" / question / f"{person}.mat"
            path.parent.mkdir(parents=True, exist_ok=True)
            savemat(path, {"xy": rng.uniform(0, (400, 300), (count, 2)), "t": np.stack([start, start + 200], -1)})
    return folder


def recording(path: Path, stops: list[tuple[float, float, int]], *, noise: float = 0.3, extra: int = 0) -> Path:
    """MIT1003's .mat of an eye that stands at (x, y) for so many samples, and moves 8 samples long from stop to stop."""
    rng = np.random.default_rng(list(path.name.encode()))
    parts = []
    for index, (x, y, count) in enumerate(stops):
        if index:
            parts.append(np.linspace(stops[index - 1][:2], (x, y), 10)[1:-1])
        parts.append(np.full((count, 2), (x, y), float) + rng.normal(0, noise, (count, 2)))
    samples = np.concatenate(parts)
    samples = np.concatenate([samples, np.zeros((len(samples), extra))], 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    struct = {"imageName": path.stem, "DATA": {"trial": 1, "eyeData": samples}}
    savemat(path, {path.stem[:31]: struct})
    return path


def stops_of(number: int, person: str, size: tuple[int, int]) -> np.ndarray:
    """float64 [3, 2]: where a person looks in a picture of `mit1003`, each in its own corner."""
    rng = np.random.default_rng([number, *person.encode()])
    corners = np.array([(0.1, 0.1), (0.9, 0.2), (0.8, 0.9)])
    return (corners + rng.uniform(-0.08, 0.08, (3, 2))) * size[::-1]


def mit1003(folder: Path) -> Path:
    """Four pictures of two sizes, two people each."""
    for number, name in enumerate(("i05june05_static_street", "i1000123", "i2000", "istatic_a_b")):
        size = (192, 256) if number % 2 else (256, 200)
        picture(folder / "ALLSTIMULI" / f"{name}.jpeg", size)
        for person in ("ajs", "hp"):
            stops = [(size[1] / 2, size[0] / 2, 60), *((x, y, 50) for x, y in stops_of(number, person, size))]
            recording(folder / "DATA" / person / f"{name}.mat", stops)
    savemat(folder / "DATA" / "ajs.mat", {"a": 1})  # such files lie beside the people's folders
    return folder


WORDS = [
    *((-10, -5, 100, ""), (90, -5, 300, "answer"), (190, -5, 100, "answer")),
    *((-10, 55, 40, "distractor"), (90, 55, 0, ""), (190, 55, 60, "")),
]


def onestop(folder: Path) -> Path:
    """Two pages of 300 x 120 px, shown 30 px from the left and 20 px from the top, six words each; two readers, l2 wrong on p2."""
    fixations, words = [], []
    for page in ("p1", "p2"):
        picture(folder / "images" / f"{page}.png", (120, 300))
        for person in ("l1", "l2"):
            known = {
                "participant_id": person, "unique_trial_id": f"{person}_{page}", "image_path": f"images/{page}.png",
                "image_x": 30, "image_y": 20, "question": "Who, and why?", "question_preview": "True",
                "repeated_reading_trial": "False", "is_correct": str((person, page) != ("l2", "p2")),
            }  # fmt: skip
            for index, x, y, duration in ((2, 280, 80, 150), (1, 35, 70, 200), (3, 60, 19, 90)):
                place = {"CURRENT_FIX_X": x, "CURRENT_FIX_Y": y, "CURRENT_FIX_DURATION": duration}
                fixations.append({"CURRENT_FIX_INDEX": index, **place, **known})
            for number, (left, top, dwell, part) in enumerate(WORDS):
                box = {"IA_LEFT": left + 30, "IA_TOP": top + 20, "IA_RIGHT": left + 130, "IA_BOTTOM": top + 80}
                longer = 100 * (person == "l2" and number == 2)
                told = {"is_in_aspan": str(part == "answer"), "is_in_dspan": str(part == "distractor")}
                words.append({"IA_ID": number, "IA_DWELL_TIME": dwell + longer, **box, **told, **known})
    for name, rows in (("fixations.csv", fixations), ("ia.csv", words)):
        written(folder / name, rows)
    return folder


def bids(folder: Path, people: tuple[str, ...] = ("01", "02")) -> Path:
    """Two pictures for a second each before a screen of 300 x 400 px, one as large as it and one of 100 x 200 px in its middle."""
    pictures = {"large.png": (300, 400), "small.png": (100, 200)}
    for name, size in pictures.items():
        picture(folder / "stimuli" / name, size)
    for person in people:
        points = [stops_of(number, person, size) for number, size in enumerate(pictures.values())]
        offset = np.array([(0, 0), (100, 100)])
        rests = [at + offset[number] for number, stops in enumerate(points) for at in stops]
        samples = np.repeat(rests, 100, axis=0)  # at 300 Hz, a third of a second each
        recording = GazeRecording(
            np.arange(600) / 300, *samples.T, 300, eye="left", start_s=10, screen=GazeScreen((300, 400), (30, 40), 57.29)
        )  # fmt: skip
        path = folder / f"sub-{person}" / "beh" / f"sub-{person}_task-look_recording-eye1_physio.tsv.gz"
        write_bids(path, recording)
        rows = [
            "onset\tduration\ttrial_type\tstim_file\tquery",
            "10\t1\tfree\tlarge.png\tn/a",
            "11\tn/a\tn/a\tsmall.png\ta cup",
        ]
        path.with_name(f"sub-{person}_task-look_events.tsv").write_text(
            "\n".join([*rows, "12\t1\trest\tn/a\tn/a"]) + "\n"
        )
    return folder


def written(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def rewrite(path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Every row of a CSV file changed."""
    with path.open(newline="") as file:
        rows = [change(row) for row in csv.DictReader(file)]
    written(path, rows)
