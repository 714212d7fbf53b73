"""What a page says when it cannot say what was asked."""

from __future__ import annotations

from appliance_web.views.standing import Sentence

_WORDS = {
    400: "That question could not be understood.",
    401: "You are not known here.",
    403: "That is not allowed from here.",
    404: "There is nothing at this address.",
    405: "That cannot be done at this address.",
    408: "The request took too long to arrive.",
    409: "That does not fit with what is there.",
    413: "That was too much at once.",
    421: "This box does not answer to that name.",
    415: "That kind of content is not taken here.",
    422: "Something in the form is not right.",
    429: "That was too often.",
    431: "The head of the request is too large.",
    500: "Something went wrong inside.",
    503: "That is not available right now.",
}
_MORE = {
    404: "The server may have been removed, or the address mistyped.",
    500: "It is not your fault. The log says more, and the rest of the box goes on.",
}


def sentence(status: int) -> Sentence:
    """The head of the page for an HTTP status."""
    text = _WORDS.get(status, "That did not work.")
    return Sentence("failing" if status >= 500 else "degraded", text, _MORE.get(status, ""))
