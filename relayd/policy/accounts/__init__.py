"""How fast an account at a smarthost is used: the limits that the settings name, and those that its replies show.

`limits` has what is allowed, `pace` what was learnt, `state` both in one value that all workers share, and
`booking` gives permits out of it. Instants are seconds since 1970, as all workers have them.
"""
