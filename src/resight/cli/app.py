"""The command line. Everything heavy is imported inside the commands, so that `resight --help` is instant."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.table import Table

from resight.cli.train import train_app
from resight.errors import ResightError

app = typer.Typer(
    name="resight",
    help="Which sea turtle is this, or has nobody seen it before?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
weights_app = typer.Typer(
    help="Which weights there are, where they lie, and whether they are the right ones.", no_args_is_help=True
)
models_app = typer.Typer(help="Accepted models, and which one `nightly` uses.", no_args_is_help=True)
app.add_typer(weights_app, name="weights")
app.add_typer(models_app, name="models")
app.add_typer(train_app, name="train")

screen = Console()
WorkspaceOption = Annotated[
    Path, typer.Option("--workspace", "-w", help="Folder with resight.toml.", envvar="RESIGHT_WORKSPACE")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else on standard output.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="A setting above all other layers, e.g. extract.max_keypoints=512.")
]
NightOption = Annotated[str | None, typer.Option(help="ISO date that the run is for; today if not given.")]
ProtocolOption = Annotated[
    str | None,
    typer.Option(help="auto, time-aware, role or leave-one-encounter-out (evaluate.protocol)."),
]
AgainstOption = Annotated[
    str | None,
    typer.Option(help="Earlier run to compare with query by query: a run id, last or none (evaluate.against)."),
]
ControlOption = Annotated[
    bool,
    typer.Option("--background-control", help="Match once more with the animals painted over: how much is habitat."),
]
LeakOption = Annotated[
    bool,
    typer.Option("--tolerate-leak", help="Measure in spite of gallery photos of the same day; without a headline."),
]
PlainOption = Annotated[
    bool, typer.Option("--plain", help="Without Prefect: no record of the run on a server, starts ten seconds sooner.")
]
HERE = Path()


def main() -> None:
    """Entry point: errors that a person can cure are one sentence and exit code 1; Ctrl-C is 130."""
    try:
        app()
    except ResightError as error:
        Console(stderr=True).print(f"[bold red]Error:[/] {_plain(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        Console(stderr=True).print("Stopped. Run the same command again; it does only what is missing.")
        sys.exit(130)


@app.callback(invoke_without_command=True)
def _start(
    context: typer.Context,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show what happens in detail.")] = False,
    show_version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    if show_version:
        from resight import __version__

        print(__version__)
        raise typer.Exit
    logging.basicConfig(
        level=logging.WARNING,
        format="%(message)s",
        handlers=[RichHandler(console=Console(stderr=True), show_path=False, show_time=False, markup=False)],
    )
    logging.getLogger("resight").setLevel(logging.DEBUG if verbose else logging.INFO)
    logging.getLogger("httpx").setLevel(logging.ERROR)
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "INFO" if verbose else "WARNING")


@app.command()
def init(
    directory: Annotated[Path, typer.Argument(help="Folder to make the workspace in.")], as_json: JsonOption = False
) -> None:
    """Make a workspace: a commented resight.toml, and a folder for photos."""
    from resight.settings.init import init_workspace

    choice = init_workspace(directory.expanduser().absolute())
    result = {
        "workspace": str(directory.absolute()),
        "extract": choice.extract,
        "match": choice.match,
        "score": choice.score,
        "why": choice.why,
    }
    if as_json:
        _print_json(result)
        return
    screen.print(f"Made [bold]{_plain(str(directory))}[/].")
    screen.print(
        f"It uses [bold]{choice.extract['kind']}[/] + [bold]{choice.match['kind']}[/], because {choice.why}.",
        soft_wrap=True,
    )
    screen.print(
        f"Put photos into {_plain(str(directory / 'photos'))}, then run: resight nightly --workspace '{_plain(str(directory))}'",
        soft_wrap=True,
    )


@app.command()
def doctor(workspace: WorkspaceOption = HERE, as_json: JsonOption = False) -> None:
    """Check that everything is there that the settings ask for."""
    from resight.flows.steps import open_workspace
    from resight.run.doctor import examine

    findings = examine(open_workspace(workspace))
    ok = all(f.ok for f in findings)
    if as_json:
        _print_json({"ok": ok, "findings": [vars(f) for f in findings]})
    else:
        for f in findings:
            screen.print(
                f"[{'green' if f.ok else 'bold red'}]{'ok ' if f.ok else 'NO '}[/] {f.what:>9}  {_plain(f.says)}",
                highlight=False,
                soft_wrap=True,
            )
    if not ok:
        raise typer.Exit(1)


@app.command()
def demo(
    workspace: Annotated[Path, typer.Option("--workspace", "-w", help="Folder to work in; made if missing.")] = Path(
        "demo"
    ),
    photos: Annotated[Path | None, typer.Option(help="Folder with real photos instead of rendered ones.")] = None,
    as_json: JsonOption = False,
    plain: PlainOption = False,
) -> None:
    """Do the nightly job on a small rendered survey, or on a folder of your own photos."""

    def plainly() -> dict[str, Any]:
        from resight.flows.demo import run_demo

        return run_demo(str(workspace), str(photos) if photos else None, quiet=as_json)

    def as_flow() -> dict[str, Any]:
        from resight.flows.demo import demo as flow

        return flow(str(workspace), str(photos) if photos else None, quiet=as_json)

    result = plainly() if plain else as_flow()
    if as_json:
        _print_json(result)
    else:
        from resight.cli.screen import show_run

        show_run(screen, result)


@app.command()
def ingest(
    paths: Annotated[list[str], typer.Argument(help="Folders, files, globs or fsspec addresses.")],
    workspace: WorkspaceOption = HERE,
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read photos and say what is usable; the next nightly run does not read them again."""
    from resight.flows.look import look_at_photos

    result = look_at_photos(workspace, paths, _overrides(settings), quiet=as_json)
    if as_json:
        _print_json(result)
    else:
        from resight.cli.screen import show_ingest

        show_ingest(screen, result)


@app.command()
def segment(
    paths: Annotated[list[str] | None, typer.Argument(help="Photos; the workspace's own if not given.")] = None,
    workspace: WorkspaceOption = HERE,
    review: Annotated[
        bool, typer.Option("--review", help="Also write a contact sheet, the least certain crops first.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="File of the contact sheet; segment-review.html in the workspace if not given.")
    ] = None,
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Cut the animals out and say how that went; the next nightly run does not do it again."""
    from resight.flows.look import look_at_crops

    target = (out or workspace / "segment-review.html") if review or out else None
    result = look_at_crops(workspace, paths or (), _overrides(settings), review=target, quiet=as_json)
    if as_json:
        _print_json(result)
        return
    for status, n in result["counts"].items():
        screen.print(f"{n:>7} {status}", highlight=False)
    if result["review"]:
        screen.print(f"Contact sheet  {_plain(result['review'])}", soft_wrap=True, highlight=False)


@app.command()
def nightly(
    workspace: WorkspaceOption = HERE,
    night: NightOption = None,
    source: Annotated[list[str] | None, typer.Option(help="Where the photos are, instead of ingest.sources.")] = None,
    settings: SetOption = None,
    as_json: JsonOption = False,
    plain: PlainOption = False,
) -> None:
    """The night's work: read what is new, compare it with the gallery, decide, write, report."""
    from resight.flows import nightly as module
    from resight.run.run import absolute_sources

    sources = list(absolute_sources(source)) if source else None
    arguments: dict[str, Any] = {
        "night": night,
        "overrides": _overrides(settings),
        "sources": sources,
        "quiet": as_json,
    }
    _finish(module.run_nightly if plain else module.nightly, _root(workspace), as_json, arguments)


@app.command()
def rebuild(
    workspace: WorkspaceOption = HERE,
    night: NightOption = None,
    settings: SetOption = None,
    accept_unmeasured: Annotated[
        bool, typer.Option(help="Promote also where there are too few confirmed labels to compare.")
    ] = False,
    as_json: JsonOption = False,
    plain: PlainOption = False,
) -> None:
    """Everything again under the settings as they are now, measured against the accepted model; promoted if not worse."""
    from resight.flows import rebuild as module

    arguments = {
        "night": night,
        "overrides": _overrides(settings),
        "accept_unmeasured": accept_unmeasured,
        "quiet": as_json,
    }
    _finish(module.run_rebuild if plain else module.rebuild, _root(workspace), as_json, arguments)


@app.command()
def accuracy(
    workspace: WorkspaceOption = HERE,
    night: NightOption = None,
    protocol: ProtocolOption = None,
    against: AgainstOption = None,
    background_control: ControlOption = False,
    tolerate_leak: LeakOption = False,
    settings: SetOption = None,
    as_json: JsonOption = False,
    plain: PlainOption = False,
) -> None:
    """Measure the accepted model on the workspace's confirmed labels, and show whether it got worse."""
    from resight.flows import evaluation as module

    asked = _measuring(settings, protocol, against, background_control, tolerate_leak)
    arguments = {"night": night, "overrides": asked, "quiet": as_json}
    _finish(module.run_accuracy if plain else module.accuracy, _root(workspace), as_json, arguments)


@app.command()
def evaluate(
    directory: Annotated[
        Path, typer.Argument(help="Labelled folder: photos, metadata.csv, and outlines if there are some.")
    ],
    workspace: WorkspaceOption = HERE,
    protocol: ProtocolOption = None,
    against: AgainstOption = None,
    background_control: ControlOption = False,
    tolerate_leak: LeakOption = False,
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """How good is it on a labelled folder? Time-aware: what came later asks, what came before is known."""
    from resight.flows.evaluation import run_evaluate

    asked = _measuring(settings, protocol, against, background_control, tolerate_leak)
    result = run_evaluate(directory, _root(workspace), asked, quiet=as_json)
    if as_json:
        _print_json(result)
    else:
        from resight.cli.screen import show_run

        show_run(screen, result)


@app.command()
def compare(
    directory: Annotated[
        Path, typer.Argument(help="Labelled folder: photos, metadata.csv, and outlines if there are some.")
    ],
    workspace: WorkspaceOption = HERE,
    methods: Annotated[
        str, typer.Option(help="Names with commas between them, also timm:MODEL or timm:MODEL=FILE; all if not given.")
    ] = "",
    quick: Annotated[bool, typer.Option("--quick", help="Only what is done in minutes on a CPU.")] = False,
    steps: Annotated[int | None, typer.Option(min=1, help="Training steps of the embedding.")] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch missing weights where that is allowed.")] = False,
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Method by method on the same crops: how often right, how good at telling new from known, how fast."""
    from resight.flows.comparing import run_compare

    names = [one.strip() for one in methods.split(",") if one.strip()]
    result = run_compare(
        directory,
        _root(workspace),
        names,
        _overrides(settings),
        quick=quick,
        steps=steps,
        download=download,
        quiet=as_json,
    )
    if as_json:
        _print_json(result)
    else:
        from resight.compare.show import show_comparison

        show_comparison(screen, result)


@app.command()
def identify(
    photos: Annotated[list[Path], typer.Argument(help="Photos to identify; they are not added to the workspace.")],
    workspace: WorkspaceOption = HERE,
    together: Annotated[bool, typer.Option(help="All photos show one animal, met once.")] = False,
    report: Annotated[Path | None, typer.Option(help="Also write the page with the evidence to this file.")] = None,
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Who is this? Compare some photos with the workspace's gallery, at once."""
    from resight.flows.identify import identify_photos

    result = identify_photos(workspace, photos, _overrides(settings), together=together, report=report, quiet=as_json)
    if as_json:
        _print_json(result)
    else:
        from resight.cli.screen import show_identify

        show_identify(screen, result)


@app.command()
def report(
    run_id: Annotated[
        str | None, typer.Argument(help="Run to draw again; the newest accepted one if not given.")
    ] = None,
    workspace: WorkspaceOption = HERE,
    out: Annotated[
        Path | None, typer.Option(help="File to write; report-RUN.html in the workspace if not given.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Draw the page of a run again, e.g. with more candidates (RESIGHT_REPORT__CANDIDATES=6); of a measured run both pages."""
    from resight.flows.redraw import redraw_report

    paths = redraw_report(workspace, run_id, out, quiet=as_json)
    if as_json:
        _print_json({"report": str(paths[0]), "accuracy_page": str(paths[1]) if len(paths) > 1 else None})
        return
    for path in paths:
        screen.print(f"Wrote {_plain(str(path))}", soft_wrap=True)


@app.command()
def serve(workspace: WorkspaceOption = HERE, settings: SetOption = None) -> None:
    """Keep running and do the nightly and accuracy flows on schedule (one machine; see deploy/ for more)."""
    from resight.flows.serving import serve_flows

    serve_flows(_root(workspace), _overrides(settings))


@weights_app.command("list")
def weights_list(workspace: WorkspaceOption = HERE, as_json: JsonOption = False) -> None:
    """All weights that Resight knows, and where they lie."""
    from resight.flows.steps import weight_store
    from resight.weights.listing import list_weights

    rows = list_weights(weight_store(workspace))
    if as_json:
        _print_json({"weights": [_jsonable(vars(r)) for r in rows]})
        return
    table = Table()
    for column in ("name", "status", "licence"):
        table.add_column(column, no_wrap=True)
    table.add_column("where, or where to get it", overflow="fold")
    for r in rows:
        table.add_row(r.name, r.status, r.licence, str(r.path or r.address or ""))
    screen.print(table)


@weights_app.command("verify")
def weights_verify(workspace: WorkspaceOption = HERE, as_json: JsonOption = False) -> None:
    """Check the digest of every weights file that is there; exit code 1 if one is wrong."""
    from resight.flows.steps import weight_store
    from resight.weights.listing import verify

    rows = verify(weight_store(workspace))
    wrong = [r for r in rows if r.status == "wrong digest"]
    if as_json:
        _print_json({"ok": not wrong, "weights": [_jsonable(vars(r)) for r in rows]})
    else:
        for r in rows:
            screen.print(f"{r.name}: {r.status} {r.path or ''}", soft_wrap=True, highlight=False)
    if wrong:
        raise typer.Exit(1)


@weights_app.command("fetch")
def weights_fetch(
    names: Annotated[list[str], typer.Argument(help="Names from `resight weights list`.")],
    workspace: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Download weights from their official address into the cache folder."""
    from resight.flows.steps import weight_store
    from resight.weights.listing import fetch

    found = [fetch(weight_store(workspace), name) for name in names]
    if as_json:
        _print_json({"weights": [_jsonable(vars(f)) for f in found]})
    else:
        for f in found:
            screen.print(f"{f.name}: {f.path} ({f.licence})", soft_wrap=True)


@models_app.command("list")
def models_list(workspace: WorkspaceOption = HERE, as_json: JsonOption = False) -> None:
    """All models that have been computed here."""
    from resight.flows.steps import open_workspace
    from resight.run.models import current_model, list_models

    place = open_workspace(workspace)
    current = current_model(place)
    rows = [
        {"fingerprint": m.fingerprint, "current": m == current, "describe": m.describe(), "weights": m.weights}
        for m in list_models(place)
    ]
    if as_json:
        _print_json({"models": rows})
        return
    for r in rows:
        screen.print(
            f"{'*' if r['current'] else ' '} {r['fingerprint']}  {r['describe']}", highlight=False, soft_wrap=True
        )
    if not rows:
        screen.print("No model yet; the first `resight nightly` accepts what the settings say.")


@models_app.command("promote")
def models_promote(
    name: Annotated[str, typer.Argument(help="Beginning of a fingerprint.")],
    workspace: WorkspaceOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Make a model the one that `nightly` uses, whatever the comparison said."""
    from resight.flows.steps import open_workspace
    from resight.run.models import load_model, promote

    place = open_workspace(workspace)
    model = load_model(place, name)
    promote(place, model)
    if as_json:
        _print_json({"promoted": model.fingerprint})
    else:
        screen.print(
            f"{model.fingerprint} is now the accepted model: {model.describe()}. Run `resight nightly` for its results.",
            soft_wrap=True,
        )


def _finish(function: Callable[..., dict[str, Any]], root: str, as_json: bool, arguments: dict[str, Any]) -> None:
    result = function(root, **arguments)
    if as_json:
        _print_json(result)
        return
    from resight.cli.screen import show_run

    show_run(screen, result)


def _root(workspace: Path) -> str:
    return str(workspace.expanduser().absolute())


def _overrides(assignments: list[str] | None) -> dict[str, Any] | None:
    from resight.settings import parse_assignments

    return parse_assignments(assignments) if assignments else None


def _measuring(
    settings: list[str] | None, protocol: str | None, against: str | None, control: bool, tolerate: bool
) -> dict[str, Any] | None:
    """What `accuracy` and `evaluate` are asked for, as settings above all others."""
    asked = {"protocol": protocol, "against": against, "background_control": control or None, "tolerate_leak": tolerate or None}  # fmt: skip
    given = [f"evaluate.{key}={json.dumps(value) if value is True else value}" for key, value in asked.items() if value is not None]  # fmt: skip
    return _overrides([*(settings or []), *given])


def _print_json(value: Any) -> None:
    print(json.dumps(value, default=str, allow_nan=False))


def _jsonable(row: dict[str, Any]) -> dict[str, Any]:
    return {k: str(v) if isinstance(v, Path) else v for k, v in row.items()}


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)


if __name__ == "__main__":
    main()
