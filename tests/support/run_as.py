"""`python -m tests.support.run_as UID GID ARGUMENTS`: relayd as another user, for who is root.

It becomes that user after all of relayd is imported, where the user is not let in to that.
"""

import os
import sys
from pathlib import Path

from relayd.__main__ import main
from tests.support.other_users import import_all


def become(uid: int, gid: int) -> None:
    places = [Path(each).resolve() for each in (__file__, sys.prefix, sys.base_prefix)]
    if not all(each.stat().st_mode & 0o001 for place in places for each in place.parents):
        import_all()
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    os.umask(0o022)


if __name__ == "__main__":
    become(int(sys.argv[1]), int(sys.argv[2]))
    sys.argv = ["relayd", *sys.argv[3:]]
    main()
