"""Glimpse beside its peers, and Glimpse alone where it hurts.

    python -m benchmarks.serving [--servers glimpse,litserve] [--pictures small] [--connections 1,32] [--seconds N]
    python -m benchmarks.serving --overload | --batch-route | --soak [MINUTES] | --all [MINUTES]

The comparison starts Glimpse, LitServe, BentoML, Ray Serve and a plain FastAPI service one after another with the
same checkpoint's network, and drives each with one thread of wrk on the same machine. Every peer runs with the
best of its documented settings that were tried (the figures stand in `benchmarks/peers/`) and gets 3 s to
warm up before each point, which is in its favour; Glimpse gets none, and its first second after readiness is
a row of its own. All of it is one run on
one machine, n = 1 for each point, so read ratios, not absolutes. `make bench-serving` installs the peers.
"""

import argparse
import json
import signal
import sys

from benchmarks import wrk
from benchmarks.batch_route import batch_route
from benchmarks.comparison import Plan, compare
from benchmarks.conditions import describe
from benchmarks.goals import measure_all
from benchmarks.overload import overload
from benchmarks.processes import StartError
from benchmarks.servers import SERVERS, Server
from benchmarks.soak import LONGEST_MINUTES, soak

PICTURES = ("small", "photo")


def main() -> int:
    """Print tables for people and one JSON line last.

    Returns:
        0, or 1 where something could not be measured; one sentence on stderr says what.
    """
    given = _parse()
    for number in (signal.SIGTERM, signal.SIGHUP):  # so that the server that runs is stopped too
        signal.signal(number, lambda *_: sys.exit(143))
    if given.soak is None and not wrk.is_installed():
        sys.stderr.write(f"{wrk.MISSING}\n")
        return 1
    try:
        name, found = _measure(given)
    except KeyboardInterrupt:
        sys.stderr.write("Stopped by Ctrl-C.\n")
        return 130
    except (StartError, RuntimeError) as error:
        sys.stderr.write(f"Error: {error}\n")
        return 1
    seconds = {} if given.soak is not None else {"seconds": given.seconds}
    print(json.dumps({**describe(name), **seconds, "n": 1, **found}))
    if failed := found.get("not_measured"):
        sys.stderr.write(f"Error: not all servers could be measured: {failed}\n")
        return 1
    return 0


def _measure(given: argparse.Namespace) -> tuple[str, dict[str, object]]:
    if given.overload:
        return "serving, overload", overload(seconds=given.seconds)
    if given.batch_route:
        return "serving, batch route", batch_route(seconds=given.seconds)
    if given.soak is not None:
        return "serving, soak", soak(minutes=given.soak)
    plan = Plan(_installed(given.servers), given.pictures, given.connections, given.seconds)
    if given.all is not None:
        return "serving, all", measure_all(plan, minutes=given.all)
    found = {**compare(plan), "not_installed": [s.name for s in given.servers if s not in plan.servers]}
    print()
    assert isinstance(found["ratios"], dict)
    for name, ratio in found["ratios"].items():
        print(f"{name}: {ratio}")
    return "serving", found


def _installed(servers: list[Server]) -> list[Server]:
    """Leave servers out whose environment is not there, and say so."""
    for server in servers:
        if not server.is_installed:
            sys.stderr.write(f"{server.title} is left out: `make bench-serving` installs it into .peers/.\n")
    return [server for server in servers if server.is_installed]


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=10, help="for each point (10); photos get 30 at least")
    parser.add_argument("--servers", type=_servers, default=list(SERVERS.values()), help=",".join(SERVERS))
    parser.add_argument("--pictures", type=_pictures, default=list(PICTURES), help=",".join(PICTURES))
    parser.add_argument("--connections", type=_counts, default=[1, 32, 256], help="1,32,256")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--overload", action="store_true", help="Glimpse at three times its peak, open loop")
    only.add_argument("--batch-route", action="store_true", help="POST /predict/batch against the engine alone")
    only.add_argument(
        "--soak", type=_minutes, nargs="?", const=10.0, metavar="MINUTES", help="mixed load, memory (10 minutes)"
    )
    only.add_argument(
        "--all",
        type=_minutes,
        nargs="?",
        const=10.0,
        metavar="MINUTES",
        help="all of it, and the goals reached",
    )
    return parser.parse_args()


def _servers(text: str) -> list[Server]:
    return [SERVERS[_known(name, tuple(SERVERS))] for name in text.split(",")]


def _pictures(text: str) -> list[str]:
    return [_known(name, PICTURES) for name in text.split(",")]


def _counts(text: str) -> list[int]:
    return [int(count) for count in text.split(",")]


def _minutes(text: str) -> float:
    minutes = float(text)
    if not 0 < minutes <= LONGEST_MINUTES:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and {LONGEST_MINUTES} minutes")
    return minutes


def _known(name: str, names: tuple[str, ...]) -> str:
    if name not in names:
        raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(names)}")
    return name


if __name__ == "__main__":
    sys.exit(main())
