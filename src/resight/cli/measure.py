"""`resight accuracy`, `evaluate` and `compare`: how good it is."""

from __future__ import annotations

from typing import Annotated

import typer
from typer import Option

from resight.cli import options
from resight.cli.options import Panel
from resight.cli.output import print_result

measure_app = typer.Typer()


@measure_app.command(rich_help_panel=Panel.MEASURE)
def accuracy(
    workspace: options.WorkspaceOption = options.HERE,
    night: options.NightOption = None,
    protocol: options.ProtocolOption = None,
    against: options.AgainstOption = None,
    background_control: options.ControlOption = False,
    tolerate_leak: options.LeakOption = False,
    settings: options.SetOption = None,
    as_json: options.JsonOption = False,
    plain: options.PlainOption = False,
    record: options.RecordOption = False,
) -> None:
    """Measure the accepted model on the workspace's confirmed labels, and show whether it got worse."""
    from resight.cli.screen.run import show_run
    from resight.flows import evaluation as flows
    from resight.flows.lazy import as_asked

    job = as_asked(flows, "accuracy", plain=plain, record=record)
    chosen = options.measuring_overrides(settings, protocol, against, background_control, tolerate_leak)
    print_result(job(options.absolute(workspace), night, chosen, quiet=as_json), as_json, show_run)


@measure_app.command(rich_help_panel=Panel.MEASURE)
def evaluate(
    directory: options.LabelledArgument,
    workspace: options.WorkspaceOption = options.HERE,
    protocol: options.ProtocolOption = None,
    asking: options.AskingOption = None,
    against: options.AgainstOption = None,
    background_control: options.ControlOption = False,
    tolerate_leak: options.LeakOption = False,
    settings: options.SetOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Measure on a labelled folder. Where dates are known, later encounters are the queries, earlier ones the gallery."""
    from resight.cli.screen.run import show_run
    from resight.flows.evaluation import run_evaluate

    chosen = options.measuring_overrides(settings, protocol, against, background_control, tolerate_leak, asking)
    print_result(run_evaluate(directory, options.absolute(workspace), chosen, quiet=as_json), as_json, show_run)


@measure_app.command(rich_help_panel=Panel.MEASURE)
def compare(
    directory: options.LabelledArgument,
    workspace: options.WorkspaceOption = options.HERE,
    methods: Annotated[
        str, Option(help="Names with commas between them, also timm:MODEL or timm:MODEL=FILE; all if not given.")
    ] = "",
    protocol: options.ProtocolOption = None,
    asking: options.AskingOption = None,
    quick: Annotated[bool, Option("--quick", help="Only methods that take minutes on a CPU.")] = False,
    steps: Annotated[int | None, Option(min=1, help="Training steps of the embedding.")] = None,
    download: Annotated[
        bool,
        Option("--download", help="Fetch missing weights from their official address, where that is allowed."),
    ] = False,
    settings: options.SetOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Compare methods on the same crops: how often right, how well they tell new from known animals, how fast."""
    from resight.cli.screen.comparison import show_comparison
    from resight.flows.comparing import run_compare

    names = [stripped for name in methods.split(",") if (stripped := name.strip())]
    chosen = options.measuring_overrides(settings, protocol, None, False, False, asking)
    result = run_compare(
        directory, options.absolute(workspace), names, chosen,
        quick=quick, steps=steps, download=download, quiet=as_json,
    )  # fmt: skip
    print_result(result, as_json, show_comparison)
