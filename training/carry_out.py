"""One request, carried out: planned, trained, finished."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from training.configuration import Request
from training.contradictions import refuse_contradictions
from training.data import findings
from training.devices import Computing, choose_device, keep_freed_memory
from training.earlier import SHIPPED, advise_start
from training.finish import Result, finish
from training.loop import train
from training.minutes import choose_epochs
from training.plan import Plan, choose_computing, prepare, with_epochs
from training.progress import teller
from training.ranks import Ranks, join_ranks
from training.runs.resume import open_run
from training.runs.run import SNAPSHOT, STATE, Run
from training.runs.run_lock import alone_in
from training.runs.tensorboard import require_tensorboard, tensorboard_log
from training.targets import check_room


@dataclass(frozen=True)
class Keeping:
    """How a training is kept in the folder of a run. What neither goes on nor extends one is a new run.

    Attributes:
        folder: of the run.
        goes_on: whether the run that is in it goes on.
        extends: folder of the finished run whose snapshot a longer one starts with, or None.
        added_epochs: by which that one is longer.
        save_every: steps between two states; None saves about once a minute.
        tensorboard: whether the metrics go to TensorBoard too.
    """

    folder: Path
    goes_on: bool = False
    extends: Path | None = None
    added_epochs: int = 0
    save_every: int | None = None
    tensorboard: bool = False


def carry_out(
    request: Request,
    keeping: Keeping | None,
    *,
    targets: list[Path],
    console: Console,
    clock: Callable[[], float] = time.monotonic,
) -> Result | None:
    """Train as asked, measure, and write the checkpoint.

    Args:
        request: what the user asked for.
        keeping: in which folder, and how; None keeps no state.
        targets: files to write the checkpoint to; the first one names it.
        console: told of the progress.
        clock: seconds, monotonic, that the steps are timed by whose number follows from minutes.

    Returns:
        None in all processes but the first.
    """
    keep_freed_memory()
    with join_ranks(choose_device(request.device)) as (ranks, device), ExitStack() as stack:
        console.quiet = not ranks.is_first
        refuse_contradictions(request, world=ranks.world)
        if keeping is not None and keeping.tensorboard:
            require_tensorboard()
        computing = choose_computing(request, device)
        with ranks.first_alone():
            if keeping is not None and ranks.is_first:
                stack.enter_context(alone_in(keeping.folder))
            plan, run = _prepare(
                request, keeping, targets, computing, ranks=ranks, tell=teller(console), clock=clock
            )
        if run is not None and keeping is not None and keeping.tensorboard and ranks.is_first:
            run.also_log(stack.enter_context(tensorboard_log(run.folder)))
        trained = train(
            plan.recipe,
            plan.dataset.train,
            classes=len(plan.dataset.labels),
            spec=plan.spec,
            seed=request.seed,
            computing=computing,
            console=console,
            run=run,
            held_out=plan.dataset.held_out,
            start=plan.start,
            wanted=plan.wanted,
            ranks=ranks,
        )
        if not ranks.is_first:
            return None
        return finish(request, plan, trained, run, targets, device=device, console=console)


def _prepare(
    request: Request,
    keeping: Keeping | None,
    targets: list[Path],
    computing: Computing,
    *,
    ranks: Ranks,
    tell: Callable[[str], None],
    clock: Callable[[], float],
) -> tuple[Plan, Run | None]:
    """Plan a training, and open the folder of its run, if it has one; that knows its epochs, and no minutes."""
    plan = prepare(request, computing, tell=tell)
    is_new = keeping is None or not (keeping.goes_on or keeping.extends)
    if is_new and plan.start is None and (advice := advise_start(plan.dataset, plan.recipe, SHIPPED)):
        tell(advice)
    if ranks.is_first:
        check_room(_needed_bytes(plan, targets, keeping))
    if request.minutes is not None:
        epochs = choose_epochs(
            plan, request.minutes, seed=request.seed, computing=computing, tell=tell, clock=clock
        )
        request = replace(request, epochs=epochs, minutes=None)
        plan = with_epochs(plan, request)
    if keeping is None:
        return plan, None
    run = open_run(
        keeping.folder,
        request,
        plan.configuration,
        computing=computing,
        save_every=keeping.save_every,
        extends=keeping.extends,
        found=plan.dataset.findings,
        warn=tell,
    )
    if plan.dataset.findings is not None and ranks.is_first:
        findings.write(plan.dataset.findings, keeping.folder)
    return plan, run


def _needed_bytes(plan: Plan, targets: list[Path], keeping: Keeping | None) -> dict[Path, int]:
    """What each file will take: checkpoints, and under the name of the state all that is kept to go on from."""
    needed = dict.fromkeys(targets, plan.checkpoint_bytes)
    if keeping is not None:
        kept = [keeping.folder / name for name in (STATE, SNAPSHOT)]
        kept_bytes = sum(path.stat().st_size for path in kept if path.exists())
        needed[keeping.folder / STATE] = max(0, plan.states_bytes - kept_bytes)
    return needed
