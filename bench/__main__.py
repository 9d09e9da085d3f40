"""Runs figures and tells what they came to: a line of JSON each as it is known, and a table at the end."""

import compileall
import signal
import sys
import traceback
from pathlib import Path

import click

from bench.figures import ALL
from bench.result import Result, as_markdown, as_text
from bench.setting import Bench
from tests.integration.fleet import ROOT


@click.command()
@click.argument("figures", nargs=-1, metavar="[FIGURE...]")
@click.option("--quick", is_flag=True, help="Fewer samples and shorter waits: for a first look, not for the record.")
@click.option("--list", "only_list", is_flag=True, help="Name the figures and end.")
@click.option(
    "--profile", type=click.Path(path_type=Path, file_okay=False), help="Let cProfile watch each daemon, too."
)
@click.option("--markdown", type=click.Path(path_type=Path), help="Write the table there too, for a document.")
def main(figures: tuple[str, ...], quick: bool, only_list: bool, profile: Path | None, markdown: Path | None) -> None:
    """Measure FIGURES, or all of them."""
    if only_list:
        for name, measure in ALL.items():
            click.echo(f"{name:12}{(measure.__doc__ or '').splitlines()[0]}")
        return
    unknown = [name for name in figures if name not in ALL]
    if unknown:
        raise click.UsageError(f"no figure {unknown[0]}; there are {', '.join(ALL)}")
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that what was started is ended
    results: list[Result] = []

    def show(result: Result) -> None:
        results.append(result)
        sys.stdout.write(result.as_json() + "\n")
        sys.stdout.flush()

    if profile is not None:
        profile.mkdir(parents=True, exist_ok=True)
    for package in ("p2pd", "cli/p2pctl"):  # as pip does: where nothing writes bytecode, every start compiles all of it
        compileall.compile_dir(ROOT / package, quiet=2)
    bench = Bench(quick, show, profile)
    broken: list[str] = []
    try:
        for name in figures or ALL:
            try:
                ALL[name](bench)
            except Exception:
                broken.append(name)
                traceback.print_exc()
    finally:
        bench.end()
    head = "quick: few samples and short waits, not for the record\n" if quick else ""
    sys.stdout.write(f"\n{head}{as_text(results)}\n")
    if markdown is not None:
        markdown.write_text(as_markdown(results))
    if broken:
        raise click.ClickException(f"not measured: {', '.join(broken)}; the reasons stand above")


if __name__ == "__main__":
    main()
