"""What every HTML page of ours begins with, and how words get into it: it loads nothing and runs nothing. Pure.

Ids and texts come from anybody: nothing in them may act on a reader unseen, in HTML or in a terminal.
"""

import base64
import hashlib
import unicodedata
from html import escape
from typing import Final

_JOINERS: Final = "\u200c\u200d"  # written in plain emoji and in some scripts


def head(title: str, style: str) -> str:
    """Doctype to `</head>`. The page forbids itself scripts, and every style but this one."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return "\n".join(
        [
            '<!doctype html>\n<html lang="ja">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="referrer" content="no-referrer">\n<meta name="robots" content="noindex">',
            '<meta name="viewport" content="width=device-width">',
            f"<title>{attribute(title)}</title>\n<style>{style}</style>",
            "</head>",
        ]
    )


def attribute(text: str) -> str:
    """Inside an element, an attribute in double quotes, or a title."""
    return escape(visible(text), quote=True)


def visible(text: str) -> str:
    """`text` on which nothing can act unseen; other characters stay as they are."""
    text = text.replace("\r\n", "\n")
    return "".join(f"［U+{ord(one):04X}］" if unseen(one) else one for one in text)


def unseen(character: str) -> bool:
    """A character that a reader does not see, or that turns what they see around."""
    if character in "\n\t" or character in _JOINERS:
        return False
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")
