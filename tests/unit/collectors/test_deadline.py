"""Questions that are answered, fail, or hang."""

from __future__ import annotations

import threading

import pytest

from whatchanged.collectors.deadline import Question, Unanswered


def test_an_answer_and_an_error_arrive() -> None:
    answers = iter([1, 2])
    question = Question("count", lambda: next(answers), 60)
    assert [question.answer(), question.answer()] == [1, 2]
    failing = Question("fail", lambda: int("x"), 60)
    for _ in range(2):
        with pytest.raises(ValueError, match="invalid literal"):
            failing.answer()


def test_one_that_hangs_is_left_behind_and_asked_again_when_it_came_back() -> None:
    asked: list[threading.Thread] = []
    go_on = threading.Event()

    def ask() -> str:
        asked.append(threading.current_thread())
        assert go_on.wait(60)
        return "late"

    question = Question("hang", ask, 0.01)
    with pytest.raises(Unanswered, match=r"within 0\.01 s"):
        question.answer()
    with pytest.raises(Unanswered, match="has not answered yet"):
        question.answer()
    assert len(asked) == 1
    assert asked[0].daemon
    go_on.set()
    answers: list[str] = []
    while not answers:  # on a busy machine one that does not hang can be late as well
        asked[-1].join(60)
        try:
            answers.append(question.answer())
        except Unanswered:
            continue
    assert answers == ["late"]
    assert len(asked) >= 2


def test_who_shall_stop_does_not_wait() -> None:
    stop, go_on = threading.Event(), threading.Event()

    def ask() -> None:
        stop.set()
        assert go_on.wait(60)

    with pytest.raises(Unanswered, match="was not waited for"):
        Question("hang", ask, 3600, stop).answer()
    go_on.set()
