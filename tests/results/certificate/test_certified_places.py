"""Places in texts are counted as people count, and as `memunlearn find` does."""

from memunlearn.results.certificate.content import RecitedSpan
from memunlearn.results.certificate.texts import _spans
from memunlearn.results.found import place


def test_places_are_those_of_find():
    span = {"start": 110, "end": 160, "first_character": 354, "end_character": 511}
    known = RecitedSpan(**span)
    assert _spans([known]) == "characters 355 to 511 (50 tokens)" and place(span) == "characters 355 to 511"
    unknown = span | {"first_character": None, "end_character": None}
    assert _spans([RecitedSpan(**unknown)]) == "tokens 111 to 160 (50 tokens)" and place(unknown) == "tokens 111 to 160"
