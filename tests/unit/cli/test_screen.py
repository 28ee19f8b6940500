from relayd.cli import screen


def test_watch_waits_between_rounds_and_ends_on_interrupt() -> None:
    done: list[str] = []

    def pause(seconds: float) -> None:
        done.append(f"wait {seconds:g}")
        if len(done) > 6:
            raise KeyboardInterrupt

    screen.repeat(lambda: done.append("draw"), rounds=2, pause=pause)
    assert done == ["draw", "wait 2", "draw"]
    screen.repeat(lambda: done.append("draw"), rounds=None, pause=pause)
    assert done[3:] == ["draw", "wait 2", "draw", "wait 2"]
