"""Lock: one process at a time has the data folder (flock(2)). It ends with the process, however that ends."""

import fcntl
import os
from pathlib import Path

from courier.backplane.errors import DataUnusable


class FolderLock:
    """The lock of a folder, held from `take` to `close`."""

    def __init__(self, folder: Path) -> None:
        """Raises DataUnusable when the folder cannot be made or written to."""
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(folder / "courier.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise DataUnusable(f"{folder} cannot be used: {error.strerror}") from None

    def take(self) -> bool:
        """Whether it is ours now, or was already."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        os.close(self._file)
