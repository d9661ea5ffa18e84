"""Official files become questions, answers become official files, and what is wrong with them is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import question_files as official

from homunculus.bridge.errors import DataError
from homunculus.lab.datasets import DOCVQA, SOURCES, TEXTVQA, VQAV2, VQABenchmark, read_results, write_results
from homunculus.lab.datasets.judge import judge


def test_docvqa(tmp_path: Path) -> None:
    official.docvqa(tmp_path)
    dataset = DOCVQA.load(tmp_path, "val")
    first = dataset.questions[0]
    assert [question.id for question in dataset.questions] == [100, 101, 102, 103]
    assert first.image == tmp_path / "documents" / "page0_1.png"
    assert (first.text, first.answers, first.boxes) == ("What is entry 0?", ("1.5 mg", "1.5"), None)
    dataset.check_pictures()


def test_docvqa_without_question_types_and_without_answers(tmp_path: Path) -> None:
    official.docvqa(tmp_path, "train", "{}_v1.0.json")
    assert len(DOCVQA.load(tmp_path, "train").questions) == 4
    official.docvqa(tmp_path, "test", "{}_v1.0.json")
    dataset = DOCVQA.load(tmp_path, "test")
    assert not dataset.answered
    with pytest.raises(DataError, match="docvqa's split test withholds its answers, so nothing can be judged here"):
        judge(dataset, {question.id: "x" for question in dataset.questions})


def test_textvqa_with_boxes_in_pixels(tmp_path: Path) -> None:
    official.textvqa(tmp_path)
    questions = TEXTVQA.load(tmp_path, "val").questions
    assert [question.id for question in questions] == [34600, 34601, 34602]
    assert questions[2].image == tmp_path / "train_images" / "001abc.jpg"
    # Published as left, top, width, height.
    assert [question.boxes for question in questions] == [((10, 20, 42, 28),), ((0.5, 40, 40.5, 56.5),), None]
    assert all(len(question.answers) == 10 for question in questions)


def test_textvqa_without_boxes_and_its_test_split(tmp_path: Path) -> None:
    official.textvqa(tmp_path, boxes=False)
    assert all(question.boxes is None for question in TEXTVQA.load(tmp_path, "val").questions)
    official.textvqa(tmp_path, "test")
    dataset = TEXTVQA.load(tmp_path, "test")
    assert dataset.questions[0].image == tmp_path / "test_images" / "000abc.jpg"
    assert not dataset.answered
    dataset.check_pictures()


def test_vqav2(tmp_path: Path) -> None:
    official.vqav2(tmp_path)
    dataset = VQAV2.load(tmp_path, "val")
    assert [question.id for question in dataset.questions] == [42000, 42001, 42002]
    assert dataset.questions[2].image == tmp_path / "val2014" / "COCO_val2014_000000000043.jpg"
    assert dataset.questions[1].answers[:3] == ("2", "2", "other 0")
    dataset.check_pictures()


def test_the_test_development_split_of_vqav2_shares_its_pictures_and_has_no_answers(tmp_path: Path) -> None:
    official.vqav2(tmp_path, "test-dev2015", "test2015")
    dataset = VQAV2.load(tmp_path, "test-dev")
    assert dataset.questions[0].image == tmp_path / "test2015" / "COCO_test2015_000000000042.jpg"
    assert not dataset.answered
    dataset.check_pictures()


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (DOCVQA, ["val_v1.0_withQT.json or val_v1.0.json", "https://rrc.cvc.uab.es/?ch=17", "documents/", "registration"]),
        (TEXTVQA, ["TextVQA_0.5.1_val.json", "https://textvqa.org/dataset", "train_images/", "CC BY 4.0"]),
        (VQAV2, ["v2_OpenEnded_mscoco_val2014_questions.json", "https://visualqa.org/download.html", "val2014/", "CC BY 4.0"]),
    ],
)  # fmt: skip
def test_an_empty_folder_is_told_what_goes_there(source: VQABenchmark, told: list[str], tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(DataError) as raised:
            source.load(folder, "val")
        assert str(raised.value).startswith(f"{folder} holds no ")
        for part in told:
            assert part in str(raised.value)


def test_a_missing_half_of_vqav2_is_named(tmp_path: Path) -> None:
    official.vqav2(tmp_path)
    (tmp_path / "v2_mscoco_val2014_annotations.json").unlink()
    with pytest.raises(DataError, match=r"holds no v2_mscoco_val2014_annotations.json; VQAv2 comes from"):
        VQAV2.load(tmp_path, "val")


@pytest.mark.parametrize("source", SOURCES.values(), ids=list(SOURCES))
def test_an_unknown_split_names_those_there_are(source: VQABenchmark, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"split 'dev' is unknown to {source.name}; choose one of train, val, test"):
        source.load(tmp_path, "dev")


@pytest.mark.parametrize("name", list(SOURCES))
def test_truncated_files_are_refused(name: str, tmp_path: Path) -> None:
    getattr(official, name)(tmp_path)
    for path in [*tmp_path.glob("*.json"), *tmp_path.glob("*.jsonl")]:
        whole = path.read_bytes()
        for part in (whole[:-10], b"", b"\xff\xfe\x00"):
            path.write_bytes(part)
            if part or path.suffix == ".json":
                with pytest.raises(
                    DataError,
                    match=r"(is not whole JSON \(.*\); it may be truncated: |is empty \(0 bytes\); )fetch it again",
                ):
                    SOURCES[name].load(tmp_path, "val")
        path.write_bytes(whole)
    SOURCES[name].load(tmp_path, "val")


def drop(*keys: str) -> Callable[[dict[str, Any]], None]:
    def change(entry: dict[str, Any]) -> None:
        for key in keys:
            del entry[key]

    return change


def put(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda entry: entry.update(values)


@pytest.mark.parametrize(
    ("name", "change", "text"),
    [
        (
            "docvqa",
            drop("questionId"),
            r"val_v1.0_withQT.json, data\[1\] has no questionId; it holds answers, data_split",
        ),
        ("docvqa", drop("image"), r"data\[1\] has no image"),
        ("docvqa", drop("answers"), r"data\[1\] has no answers"),
        ("docvqa", put(answers=[]), r"data\[1\] has 0 answers; expected at least 1: fetch the file again"),
        ("docvqa", put(answers=[7]), r"data\[1\]: answers holds 7; expected texts"),
        ("docvqa", put(answers="x"), r"data\[1\]: answers is 'x'; expected a list"),
        ("docvqa", put(questionId="101"), r"data\[1\]: questionId is '101'; expected a whole number"),
        ("docvqa", put(questionId=True), r"data\[1\]: questionId is True; expected a whole number"),
        ("docvqa", put(questionId=100), r"asks 1 of docvqa's questions more than once: 100; fetch its files again"),
        (
            "textvqa",
            drop("question"),
            r"TextVQA_0.5.1_val.json, data\[1\] has no question; it holds answers, image_classes",
        ),
        ("textvqa", drop("answers"), r"data\[1\] has no answers"),
        ("textvqa", put(answers=["a"] * 9), r"data\[1\] has 9 answers; expected 10"),
        ("textvqa", put(image_id=5), r"data\[1\]: image_id is 5; expected a text"),
    ],
)
def test_wrong_entries_are_named(
    name: str, change: Callable[[dict[str, Any]], None], text: str, tmp_path: Path
) -> None:
    document = getattr(official, name)(tmp_path)
    change(document["data"][1])
    official.write(next(tmp_path.glob("*.json")), document)
    with pytest.raises(DataError, match=text):
        SOURCES[name].load(tmp_path, "val")


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ([], "is a list, not an object with the key data"),
        ({}, "has no data; it holds nothing: is it the official file"),
        ({"data": {}}, r"data is \{\}; expected a list"),
        ({"data": ["x"]}, r"data\[0\] is a str, not an object with the key questionId"),
        ({"data": []}, "has no question in docvqa's split val; fetch its files again: DocVQA comes from"),
    ],
)
def test_other_files_under_the_right_name_are_refused(document: Any, text: str, tmp_path: Path) -> None:
    official.write(tmp_path / "val_v1.0.json", document)
    with pytest.raises(DataError, match=text):
        DOCVQA.load(tmp_path, "val")


def test_questions_and_annotations_of_vqav2_must_belong_together(tmp_path: Path) -> None:
    def refused(change: Callable[[list[Any], list[Any]], object]) -> str:
        questions, annotations = official.vqav2(tmp_path)
        change(questions["questions"], annotations["annotations"])
        official.write(tmp_path / "v2_OpenEnded_mscoco_val2014_questions.json", questions)
        official.write(tmp_path / "v2_mscoco_val2014_annotations.json", annotations)
        with pytest.raises(DataError) as raised:
            VQAV2.load(tmp_path, "val")
        return str(raised.value)

    assert "1 questions without annotation: 42000." in refused(lambda asked, given: given.pop(0))
    assert "3 questions without annotation: 42000, 42001, 42002." in refused(lambda asked, given: given.clear())
    assert "2 annotations without question: 42001, 42002." in refused(
        lambda asked, given: asked.__delitem__(slice(1, 3))
    )
    assert "annotations more than once: 42001." in refused(lambda asked, given: given.append(given[1]))
    assert "asks 1 of vqav2's questions more than once: 42001" in refused(lambda asked, given: asked.append(asked[1]))
    told = refused(lambda asked, given: given[2].update(image_id=42))
    assert "1 annotations of another picture than their question: 42002." in told
    assert told.endswith("Fetch both files of the same release")
    both = refused(lambda asked, given: [given[0].update(question_id=7), given[1].update(question_id=8)])
    assert "2 questions without annotation: 42000, 42001; 2 annotations without question: 7, 8." in both
    assert "annotations[1] has 9 answers; expected 10" in refused(lambda asked, given: given[1]["answers"].pop())
    assert "annotations[0], answers[3] has no answer" in refused(lambda asked, given: given[0]["answers"][3].clear())


def test_many_ids_are_counted_rather_than_listed(tmp_path: Path) -> None:
    document = official.docvqa(tmp_path)
    official.write(tmp_path / "val_v1.0_withQT.json", {**document, "data": document["data"] * 2})
    with pytest.raises(DataError, match="asks 4 of docvqa's questions more than once: 100, 101, 102 and 1 more"):
        DOCVQA.load(tmp_path, "val")


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ({"bbox": [0, 0, 1, 1]}, "line 3 has no dataset_id; it holds bbox"),
        ({"dataset_id": "34602"}, "line 3 has no bbox"),
        ({"dataset_id": "textvqa_1", "bbox": [0, 0, 1, 1]}, "dataset_id is 'textvqa_1'; expected the digits"),
        (
            {"dataset_id": "34602", "bbox": [0, 0, 1]},
            r"bbox is \[0, 0, 1\]; expected \[left, top, width, height\] in px",
        ),
        ({"dataset_id": "34602", "bbox": [0, 0, 0, 5]}, r"bbox is \[0, 0, 0, 5\]; .*with some extent"),
        ({"dataset_id": "34602", "bbox": [0, None, 1, 5]}, r"bbox is \[0, None, 1, 5\]"),
        ({"dataset_id": "34602", "bbox": [float("nan"), 0, 1, 5]}, r"bbox is \[nan, 0, 1, 5\]"),
    ],
)
def test_wrong_boxes_are_named(line: dict[str, Any], text: str, tmp_path: Path) -> None:
    official.textvqa(tmp_path)
    with (tmp_path / "TextVQA_GT_bbox.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    with pytest.raises(DataError, match=text):
        TEXTVQA.load(tmp_path, "val")


def test_boxes_of_other_questions_are_refused_and_several_of_one_are_kept(tmp_path: Path) -> None:
    official.textvqa(tmp_path)
    path = tmp_path / "TextVQA_GT_bbox.jsonl"
    path.write_text('{"dataset_id": "34602", "bbox": [1, 2, 3, 4]}\n\n{"dataset_id": "34602", "bbox": [5, 6, 7, 8]}')
    assert TEXTVQA.load(tmp_path, "val").questions[2].boxes == ((1, 2, 4, 6), (5, 6, 12, 14))
    path.write_text('{"dataset_id": "1", "bbox": [1, 2, 3, 4]}')
    with pytest.raises(DataError, match=r"none of the 1 ids of .*, such as 1, is a question of .*val\.json"):
        TEXTVQA.load(tmp_path, "val")


def test_missing_pictures_are_named_when_they_are_needed(tmp_path: Path) -> None:
    official.docvqa(tmp_path)
    (tmp_path / "documents" / "page1_1.png").unlink()
    dataset = DOCVQA.load(tmp_path, "val")
    with pytest.raises(
        DataError, match=r"1 pictures of docvqa are missing, such as .*page1_1.png for question 10[23]; DocVQA comes"
    ):
        dataset.check_pictures()
    dataset.first(2).check_pictures()
    with pytest.raises(DataError, match="limit is 0; it must be at least 1, or left out"):
        dataset.first(0)


@pytest.mark.parametrize(
    ("name", "key"), [("docvqa", "questionId"), ("textvqa", "question_id"), ("vqav2", "question_id")]
)
def test_results_are_written_and_read_in_the_official_format(name: str, key: str, tmp_path: Path) -> None:
    getattr(official, name)(tmp_path)
    dataset = SOURCES[name].load(tmp_path, "val")
    answers = {question.id: f"é {question.id}" for question in dataset.questions}
    path = tmp_path / "results.json"
    write_results(path, dataset, dict(reversed(answers.items())))
    assert json.loads(path.read_text("utf-8")) == [{key: number, "answer": text} for number, text in answers.items()]
    assert read_results(path, dataset) == answers
    del answers[dataset.questions[0].id]
    with pytest.raises(DataError, match=rf"1 of \d questions have no answer: {dataset.questions[0].id}; answer all"):
        write_results(tmp_path / "other.json", dataset, answers)
    assert not (tmp_path / "other.json").exists()


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"100": "x"}, r'holds a dict; docvqa takes a list of \{"questionId": 1, "answer": "x"\}'),
        ([{"question_id": 100, "answer": "x"}], r"results\[0\] has no questionId; it holds answer, question_id"),
        ([{"questionId": 100}], r"results\[0\] has no answer"),
        ([{"questionId": 100, "answer": 5}], r"results\[0\]: answer is 5; expected a text"),
        (
            [{"questionId": 100, "answer": "a"}, {"questionId": 100, "answer": "b"}],
            "answers 1 questions more than once: 100",
        ),
        (
            [{"questionId": 7, "answer": "a"}],
            "answers 1 questions that docvqa's split val does not ask: 7; is it of another",
        ),
    ],
)
def test_wrong_results_are_refused(content: Any, text: str, tmp_path: Path) -> None:
    official.docvqa(tmp_path)
    official.write(tmp_path / "results.json", content)
    with pytest.raises(DataError, match=text):
        read_results(tmp_path / "results.json", DOCVQA.load(tmp_path, "val"))


def test_the_verdict_has_the_mean_of_the_official_scores_and_two_intervals(tmp_path: Path) -> None:
    official.docvqa(tmp_path)
    dataset = DOCVQA.load(tmp_path, "val")
    answers = {100: "1.5mg", 101: "r. j. reynolds", 102: "2004", 103: "yes"}
    found = judge(dataset, answers)
    # One edit of six; the same but for case; four edits of four; the same.
    assert found.scores == pytest.approx({100: 5 / 6, 101: 1, 102: 0, 103: 1})
    assert found.mean == pytest.approx(17 / 24)
    # Pages score 11/12 and 1/2, and each draw of two has either twice with probability 1/4: both ends are those of single pages.
    assert found.over_pictures == pytest.approx((1 / 2, 11 / 12))
    assert found.over_questions is not None
    assert found.over_questions[0] <= 5 / 12
    assert found == judge(dataset, answers)
    document = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert document["scores"]["101"] == 1
    assert (document["questions"], document["metric"]) == (4, "ANLS")
    alone = judge(dataset.first(1), answers)
    assert (alone.over_questions, alone.over_pictures) == (None, None)
    with pytest.raises(DataError, match="1 of 4 questions have no answer: 103"):
        judge(dataset, {100: "a", 101: "b", 102: "c"})


def test_accuracies_of_textvqa_and_vqav2_are_their_own(tmp_path: Path) -> None:
    official.textvqa(tmp_path)
    official.vqav2(tmp_path)
    answers = {34600: "STOP!", 34601: "stop sign?", 34602: "exit"}
    # All ten, then six, then two of ten agree; TextVQA evens out always.
    assert judge(TEXTVQA.load(tmp_path, "val"), answers).scores == pytest.approx({34600: 1, 34601: 1, 34602: 0.6})
    answers = {42000: "two", 42001: "two", 42002: "two"}
    # The first was answered "2" by all ten, so VQAv2 takes nothing else.
    assert judge(VQAV2.load(tmp_path, "val"), answers).scores == pytest.approx({42000: 0, 42001: 0.6, 42002: 1})
