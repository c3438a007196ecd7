from __future__ import annotations

import itertools

from batcher.core.sessions import Refusal, Refused, Sessions

OUTDATED, UNCLEAR, LOST, USELESS, OWN = Refusal.OUTDATED, Refusal.UNCLEAR, Refusal.LOST, Refusal.USELESS, Refusal.OWN


class Story:
    """Records that are accepted and refused, each remembering where it was refused the last time."""

    def __init__(self) -> None:
        self.sessions = Sessions()
        self._clock = itertools.count(1.0)
        self._refused: dict[int, Refused] = {}

    def accept(self, *, session: int | None = None) -> None:
        self.sessions.accept(self.sessions.current if session is None else session, next(self._clock))

    def refuse(self, record: int, *, session: int | None = None, alone: bool = False) -> Refusal:
        number = self.sessions.current if session is None else session
        found = self.sessions.refuse(number, record, before=self._refused.get(record), alone=alone)
        self._refused[record] = Refused(number, next(self._clock))
        return found


def test_a_lost_session_is_renewed_once_for_all() -> None:
    """The first refusal may be the record's own, the second is not; what was in flight then just goes again."""
    story = Story()
    story.accept()
    assert [story.refuse(1), story.refuse(2)] == [UNCLEAR, LOST]
    story.sessions.renewed()
    assert [story.refuse(record, session=0) for record in (3, 4, 5)] == [OUTDATED] * 3
    assert story.sessions.current == 1


def test_the_same_record_twice_is_no_second_one() -> None:
    """It alone proves nothing against the session, however often."""
    story = Story()
    story.accept()
    assert [story.refuse(1) for _ in range(10)] == [UNCLEAR] * 10


def test_an_acceptance_between_clears_the_session() -> None:
    """Refusals of different records with others accepted between them are those records' own matter."""
    story = Story()
    for record in range(10):
        story.accept()
        assert story.refuse(record) is UNCLEAR


def test_the_only_record_has_nobody_to_wait_for() -> None:
    """Without others in flight or waiting, one refusal is all that can be heard."""
    story = Story()
    assert story.refuse(1, alone=True) is LOST
    story = Story()
    story.accept()
    assert story.refuse(1, alone=True) is LOST


def test_a_record_that_others_overtook_is_refused_for_itself_in_a_newer_session() -> None:
    """The session that refused it went on taking others: it was not the session."""
    story = Story()
    assert story.refuse(1) is UNCLEAR
    story.accept()
    assert [story.refuse(2), story.refuse(3)] == [UNCLEAR, LOST]
    story.sessions.renewed()
    assert story.refuse(1) is OWN


def test_two_sessions_that_end_while_a_record_is_under_way_prove_nothing() -> None:
    """Each took others before it ended, and none after it had refused this one."""
    story = Story()
    for _ in range(4):
        for _ in range(5):
            story.accept()
        assert [story.refuse(1), story.refuse(2)] == [UNCLEAR, LOST]
        story.sessions.renewed()


def test_a_record_that_others_overtook_is_no_witness_against_the_session() -> None:
    """However many poison records come in a row, they cost no login."""
    story = Story()
    for record in range(5):
        assert story.refuse(record) is UNCLEAR
        story.accept()
    assert [story.refuse(record) for record in range(5)] == [UNCLEAR] * 5


def test_the_last_record_is_refused_for_itself_if_it_alone_was_before() -> None:
    """With nobody left to be accepted in the new session, the old one is the witness."""
    story = Story()
    story.accept()
    assert story.refuse(1, alone=True) is LOST
    story.sessions.renewed()
    assert story.refuse(1, alone=True) is OWN


def test_a_session_that_never_worked_is_no_witness() -> None:
    """Where nobody was ever accepted, a new session is of no use: this is an outage, not the record."""
    story = Story()
    assert [story.refuse(1), story.refuse(2)] == [UNCLEAR, LOST]
    story.sessions.renewed()
    assert [story.refuse(1), story.refuse(2), story.refuse(3)] == [UNCLEAR, USELESS, USELESS]
    story.sessions.renewed()
    assert story.refuse(1, alone=True) is USELESS


def test_several_records_refused_before_are_no_witness_either() -> None:
    """The old session was lost for more than one: what the new one does not take may be nobody's own."""
    story = Story()
    story.accept()
    assert [story.refuse(1), story.refuse(2)] == [UNCLEAR, LOST]
    story.sessions.renewed()
    assert story.refuse(1, alone=True) is USELESS


def test_news_of_an_old_session_is_no_news() -> None:
    """An acceptance or refusal that belongs to a session that was replaced changes nothing."""
    story = Story()
    story.sessions.renewed()
    story.accept(session=0)
    assert story.refuse(1, session=0) is OUTDATED
    assert story.refuse(2, alone=True) is USELESS


def test_two_poison_records_at_the_end() -> None:
    """Two that nobody follows are refused for themselves in a newer session, if the one before accepted many more."""
    for accepted, found in ((20, [OWN, OWN]), (19, [USELESS, USELESS])):
        story = Story()
        for _ in range(accepted):
            story.accept()
        assert [story.refuse(1, alone=True), story.refuse(2, alone=True)] == [LOST, LOST]
        story.sessions.renewed()
        assert [story.refuse(1, alone=True), story.refuse(2, alone=True)] == found


def test_sessions_that_took_nobody_are_no_witnesses() -> None:
    """However many logins come between, the last session that took anybody is what counts."""
    story = Story()
    for _ in range(20):
        story.accept()
    assert [story.refuse(1, alone=True), story.refuse(2, alone=True)] == [LOST, LOST]
    for _ in range(3):
        story.sessions.renewed()
    assert [story.refuse(1, alone=True), story.refuse(2, alone=True)] == [OWN, OWN]
