"""`python -m p2pd.sim SCENARIO`: plays a scenario with the shipped engine in virtual time, and says what came of it.

Rules: the summary goes to standard output, progress and complaints to standard error; 0 no violation, 1 a violation,
2 not to be done as asked, 130 interrupted.
"""

import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

import click

_EXAMPLES = """\b
Examples:
  python -m p2pd.sim calm
  python -m p2pd.sim storm --seed 7
  python -m p2pd.sim churn --hours 168 --picture churn.svg
  python -m p2pd.sim liars --share 0.3 --json -
  python -m p2pd.sim storm --seed 7 --trace storm-7.txt
  python -m p2pd.sim storm --seed 3 --mutant tombstone-rank

The same scenario, seed, nodes and hours give the same run, and the same trace digest.
Many seeds on all cores: `make sim SEEDS=5000`; see `docs/simulator.md`.

Exit status: 0 nothing was violated, 1 something was (and the command that plays it again is printed),
2 what cannot be done as asked, 130 interrupted."""
_NODES_MAX = 10_000
"""More take hours to come, and some 10 GB."""


def _list(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if not value or context.resilient_parsing:
        return
    from p2pd.sim.mutants import MUTANTS
    from p2pd.sim.scenarios import SCENARIOS

    for scenario in SCENARIOS.values():
        click.echo(f"{scenario.name:<20}{scenario.line}; {scenario.nodes:,} nodes, {scenario.hours:g} hours")
    click.echo("\nWhat --mutant can switch off:\n")
    for mutant in MUTANTS.values():
        click.echo(f"{mutant.name:<20}{mutant.line}")
    context.exit()


@click.command(epilog=_EXAMPLES, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.argument("scenario")
@click.option("--list", is_flag=True, is_eager=True, expose_value=False, callback=_list, help="Show all scenarios.")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Every choice follows from it.")
@click.option(
    "--nodes", type=click.IntRange(1, _NODES_MAX), help="Servers and people together; else the scenario's own."
)
@click.option("--hours", type=float, help="Virtual hours before everything is healed; else the scenario's own.")
@click.option(
    "--share", type=click.FloatRange(0, 0.9), help="Of the servers, those who misbehave; in `liars` and `foul-play`."
)
@click.option("--mutant", metavar="NAME", default="", help="Switch off a rule of the shipped code; see --list.")
@click.option("--json", "json_file", type=click.File("w", lazy=True), help="Write the summary as JSON; - for here.")
@click.option("--trace", "trace_file", type=click.File("w", lazy=True), help="Write every happening, a line each.")
@click.option("--picture", "picture_file", type=click.File("w", lazy=True), help="Draw ages, look-ups and copies: SVG.")
def main(
    scenario: str,
    seed: int,
    nodes: int | None,
    hours: float | None,
    share: float | None,
    mutant: str,
    json_file: Any,
    trace_file: Any,
    picture_file: Any,
) -> None:
    """Play SCENARIO: many nodes with the shipped engine, in virtual time, under watch."""
    from p2pd.sim.stage import SHARE, Options, perform

    played = _scenario(scenario)
    options = Options(seed, nodes or played.nodes, hours if hours is not None else played.hours, mutant=mutant)
    if options.nodes < played.people + 2:
        raise click.UsageError(f"{scenario} needs at least {played.people + 2} nodes, {played.people} of them people")
    if not 0 < options.hours <= 24 * 365:
        raise click.UsageError("--hours is more than 0, and at most a year")
    if share is not None and not played.hostile:
        raise click.UsageError(f"nobody misbehaves in {scenario}: --share is for `liars` and `foul-play`")
    if mutant:
        _check_mutant(mutant)
    if picture_file is not None and Path(picture_file.name).suffix.lower() not in ("", ".svg"):
        raise click.UsageError(f"the picture is SVG: name it {Path(picture_file.name).with_suffix('.svg')}")
    options = replace(options, share=SHARE if share is None else share, trace_to=trace_file)
    try:
        with ExitStack() as files:
            for file in filter(None, (json_file, trace_file, picture_file)):
                files.enter_context(file).open()  # now: no run of an hour is to end with a file that cannot be written
            with _Bar(sys.stderr) as progress:
                report = perform(played, options, progress.show)
            if json_file is None or json_file.name != "-":
                click.echo(report.as_text(), nl=False)
            if picture_file is not None:
                picture_file.write(report.svg)
            if json_file is not None:
                json_file.write(report.as_json())
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        sys.exit(130)
    except click.FileError as error:
        raise _CannotError(error.format_message()) from error
    except OSError as error:
        raise _CannotError(f"what came of it cannot be written: {error.strerror}") from error
    sys.exit(1 if report.violations_in_all else 0)


class _CannotError(click.ClickException):
    """Something that was asked for cannot be done; 1 would say that an invariant was violated."""

    exit_code = 2


def _scenario(name: str) -> Any:
    from p2pd.sim.scenarios import SCENARIOS

    if name not in SCENARIOS:
        raise click.UsageError(f"there is no scenario {name!r}; there are: {', '.join(SCENARIOS)}")
    return SCENARIOS[name]


def _check_mutant(name: str) -> None:
    from p2pd.sim.mutants import MUTANTS

    if name not in MUTANTS:
        raise click.UsageError(f"there is no mutant {name!r}; there are: {', '.join(MUTANTS)}")


class _Bar:
    """A progress bar on a terminal; nothing elsewhere."""

    WIDTH = 32

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._shown = False

    def __enter__(self) -> "_Bar":
        return self

    def __exit__(self, *error: object) -> None:
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def show(self, share: float, doing: str) -> None:
        """How far it is."""
        if not self._stream.isatty():
            return
        self._shown = True
        full = int(share * self.WIDTH)
        self._stream.write(f"\r[{'#' * full}{'.' * (self.WIDTH - full)}] {share:4.0%}  {doing}\x1b[K")
        self._stream.flush()


if __name__ == "__main__":
    main(prog_name="python -m p2pd.sim")
