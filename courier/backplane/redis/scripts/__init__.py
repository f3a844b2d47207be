"""The scripts that Redis runs, as they are sent to it. What they take and answer is said in each."""

from hashlib import sha1
from importlib.resources import files
from typing import NamedTuple


class Script(NamedTuple):
    """A script, and the name that Redis knows it by once it was loaded."""

    text: str
    sha: str


def _script(*names: str, flags: str = "") -> Script:
    text = f"#!lua{flags}\n" + "\n".join(
        files(__name__).joinpath(f"{name}.lua").read_text("utf-8") for name in names
    )
    return Script(text, sha1(text.encode(), usedforsecurity=False).hexdigest())


PUBLISH = _script("channel", "writing", "stream", "publish")
FOLLOW = _script("channel", "writing", "follow")
READ = _script("channel", "stream", "read", flags=" flags=no-writes")
BEGAN = _script("began")
WINDOW = _script("window")
REVOKE = _script("revoke")
