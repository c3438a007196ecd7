from __future__ import annotations

from batcher.core.sessions import Refusal, Sessions

OUTDATED, UNCLEAR, LOST, USELESS, OWN = Refusal.OUTDATED, Refusal.UNCLEAR, Refusal.LOST, Refusal.USELESS, Refusal.OWN


class Story:
    """Records that are accepted and refused, each remembering where it was refused the last time."""

    def __init__(self) -> None:
        self.sessions = Sessions()
        self._refused_in: dict[int, int] = {}

    def accept(self, *, session: int | None = None) -> None:
        self.sessions.accept(self.sessions.current if session is None else session)

    def refuse(
        self, record: int, *, session: int | None = None, alone: bool = False, overtaken: bool = False
    ) -> Refusal:
        number = self.sessions.current if session is None else session
        before = self._refused_in.get(record)
        found = self.sessions.refuse(number, record, before=before, overtaken=overtaken, alone=alone)
        self._refused_in[record] = number
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


def test_a_record_refused_in_a_newer_session_that_works_is_refused_for_itself() -> None:
    """One poison record costs one login at most."""
    story = Story()
    story.accept()
    assert [story.refuse(1), story.refuse(2)] == [UNCLEAR, LOST]
    story.sessions.renewed()
    story.accept()
    assert [story.refuse(1), story.refuse(2)] == [OWN, OWN]


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


def test_a_record_that_others_have_overtaken() -> None:
    """It is refused for itself in a newer session although nobody was accepted in that one yet."""
    story = Story()
    story.accept()
    assert [story.refuse(1), story.refuse(2)] == [UNCLEAR, LOST]
    story.sessions.renewed()
    assert story.refuse(1, overtaken=True) is OWN
