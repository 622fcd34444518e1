"""One request, carried out: planned, trained, finished."""

from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from training.configuration import Request
from training.contradictions import refuse_contradictions
from training.data import findings
from training.devices import choose_device, keep_freed_memory
from training.finish import Result, finish
from training.loop import train
from training.plan import Plan, choose_computing, prepare
from training.progress import teller
from training.ranks import join_ranks
from training.runs.resume import open_run
from training.runs.run import SNAPSHOT, STATE
from training.runs.run_lock import alone_in
from training.runs.tensorboard import TensorboardLog, require_tensorboard
from training.targets import check_room


def carry_out(
    request: Request,
    *,
    folder: Path | None,
    targets: list[Path],
    save_every: int | None,
    extends: Path | None,
    tensorboard: bool,
    console: Console,
) -> Result | None:
    """Train as asked, measure, and write the checkpoint.

    Args:
        request: what the user asked for.
        folder: of the run; None keeps no state.
        targets: files to write the checkpoint to; the first one names it.
        save_every: steps between two states; None saves about once a minute.
        extends: folder of the finished run to start from; None starts anew, or goes on in `folder`.
        tensorboard: whether the metrics go to TensorBoard too.
        console: told of the progress.

    Returns:
        None in all processes but the first.
    """
    keep_freed_memory()
    with join_ranks(choose_device(request.device)) as (ranks, device), ExitStack() as stack:
        console.quiet = not ranks.is_first
        refuse_contradictions(request, world=ranks.world)
        if tensorboard:
            require_tensorboard()
        computing = choose_computing(request, device)
        told = teller(console)
        with ranks.first_alone():
            if folder is not None and ranks.is_first:
                stack.enter_context(alone_in(folder))
            plan = prepare(request, computing, tell=told)
            if ranks.is_first:
                check_room(_needed_bytes(plan, targets, folder))
            run = None
            if folder is not None:
                run = open_run(
                    folder,
                    request,
                    plan.configuration,
                    computing=computing,
                    save_every=save_every,
                    extends=extends,
                    found=plan.dataset.findings,
                    warn=told,
                )
                if plan.dataset.findings is not None and ranks.is_first:
                    findings.write(plan.dataset.findings, folder)
        if run is not None and tensorboard and ranks.is_first:
            run.also_log(stack.enter_context(TensorboardLog(run.folder)).log)
        trained = train(
            plan.recipe,
            plan.dataset.train,
            classes=len(plan.dataset.labels),
            spec=plan.spec,
            seed=request.seed,
            computing=computing,
            console=console,
            run=run,
            start=plan.start,
            wanted=plan.wanted,
            ranks=ranks,
        )
        if not ranks.is_first:
            return None
        return finish(request, plan, trained, run, targets, device=device, console=console)


def _needed_bytes(plan: Plan, targets: list[Path], folder: Path | None) -> dict[Path, int]:
    """What each file will take: checkpoints, and under the name of the state all that is kept to go on from."""
    needed = dict.fromkeys(targets, plan.checkpoint_bytes)
    if folder is not None:
        kept = [folder / name for name in (STATE, SNAPSHOT)]
        kept_bytes = sum(path.stat().st_size for path in kept if path.exists())
        needed[folder / STATE] = max(0, plan.states_bytes - kept_bytes)
    return needed
