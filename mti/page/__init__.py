"""A page in the browser: `mti page`, or `python -m mti.page`. See docs/page.md.

    commands   what is chosen on the page as command lines, checked as the command line checks them
    looking    what is found where one clicks, and the text and tokens of each start
    jobs       processes that do the commands, one at a time
    watching   run folders as curves and pictures
    actions    what the page's buttons do
    layout     the page itself
    serving    the server

The page trains nothing itself: it starts `mti run` and `mti generate` and reads the run folders.
"""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path

from mti.command_line import checked_arguments, prepare_streams, tell
from mti.errors import UserError
from mti.literals import literal

EXAMPLES = "examples: mti page; mti page model=sd15 metrics=none output_dir=results --port 8000"


def main() -> None:
    """Serve the page until it is told to stop. Ends with 2 for a mistake of the user's."""
    parser = argparse.ArgumentParser(
        prog="mti page",
        description="A page in the browser: point at a thing, start runs, watch and compare them.",
        epilog=EXAMPLES,
    )
    parser.add_argument("settings", nargs="*", metavar="key=value", help="of `mti run --help`, for all runs")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0: whoever reaches this machine may start runs")
    parser.add_argument("--port", type=int, default=7860, help="0: any that is free")
    parser.add_argument("--config-dir", type=Path, action="append", default=[], help="a folder with your own choices")
    prepare_streams()
    given = parser.parse_intermixed_args()
    try:
        if not 0 <= given.port <= 65535:
            raise UserError(f"--port {given.port}: expected 0 to 65535")
        if not importlib.util.find_spec("gradio"):
            raise UserError("the page needs gradio: pip install 'mti[page]'")
        from mti.page.commands import Commands  # torch and its company, which --help need not wait for
        from mti.page.serving import serve

        serve(Commands([literal(one) for one in checked_arguments(given.settings)], given.config_dir), given)
    except UserError as mistake:
        tell(mistake)
