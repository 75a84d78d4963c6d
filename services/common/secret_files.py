"""Whether a file with a secret is private enough.

Such a file is for its owner alone. One that a platform mounts may be readable by a group, as Kubernetes does with
`fsGroup`, when nobody may write it or it belongs to another user.
"""

from typing import Final

_OTHERS: Final = 0o007
_GROUP: Final = 0o070
_GROUP_MORE_THAN_READS: Final = 0o030
_WRITERS: Final = 0o222


def mode_problem(mode: int, *, own: bool) -> str:
    """Why a file with this mode is not private enough; empty when it is.

    Args:
        mode: Of the file.
        own: It belongs to this process's user, who could have kept it to himself.
    """
    if mode & _OTHERS:
        return "can be read by others"
    if mode & _GROUP_MORE_THAN_READS:
        return "can be written by its group"
    if mode & _GROUP and own and mode & _WRITERS:
        return "can be read by others"
    return ""
