"""What the options that commands share say of themselves."""

from typing import get_args

from training.commands.options import AcceptAgainOption, AcceptOption


def test_the_accepted_share_shows_how_a_share_is_written() -> None:
    """Who types 80 for 80 % is refused by a limit of 0.999, and looks here."""
    for option in (AcceptOption, AcceptAgainOption):
        assert "a share such as 0.9, from 0.8 to 0.999" in get_args(option)[1].help
