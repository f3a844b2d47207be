"""Visible: text of others, so that it can neither move a terminal's cursor nor begin a line of its own."""


def visible(text: str, keep: str = "") -> str:
    """The text with every character that cannot be seen as an escape, but for those in `keep`.

    These are control characters, what turns the direction of writing round, separators of lines and what has
    no width; a space stays.
    """
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or each in keep else each.encode("unicode_escape").decode()
        for each in text
    )
