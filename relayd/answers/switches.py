"""Settings that change what becomes of all mail: everybody who looks at the relay has to see them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    soft_bounce: bool = False
    redirect: str = ""  # the address that mail goes to; empty: none


NONE_ON = Switches()
