"""What the project asks of every error about bad input."""

import pytest


def assert_refused(call, exception, parts):
    """``call`` raises exactly ``exception``, with a short message in which ``parts`` stand in this
    order.
    """
    with pytest.raises(exception) as caught:
        call()
    assert caught.type is exception
    message, at = str(caught.value), 0
    for part in parts:
        assert part in message[at:], f"{part!r} is not (in this order) in: {message}"
        at = message.index(part, at) + len(part)
    assert message[0] != "<" and len(message) < 400
