"""`cmodel recipe`: write, check and describe recipe files."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmodel.cli.options import add_state_options, load_model
from cmodel.cli.terminal import Terminal, table
from cmodel.errors import UsageError
from cmodel.files import atomic_write, refuse_existing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cmodel.compress import Recipe, Step, Target

HELP = "write, check and describe recipes"
EXAMPLES = """\
  cmodel recipe init --preset deep-compression -o mine.toml
  cmodel recipe check mine.toml --model deploy.prototxt net.caffemodel
  cmodel recipe schema -o recipe.schema.json"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the three actions."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    init = actions.add_parser(
        "init",
        help="write a recipe to start from",
        description="Write a preset as a recipe file, with all options of its methods as comments.",
    )
    init.add_argument("--preset", metavar="P", help="the preset (default linear8)")
    init.add_argument("--name", metavar="N", help="of the recipe (default: that of the file)")
    _add_output(init)
    check = actions.add_parser(
        "check",
        help="check a recipe, tell what its steps select",
        description="Check a recipe; with a model, tell which parameters each step selects.",
    )
    check.add_argument("recipe", metavar="RECIPE", help="a recipe file (TOML), or a preset")
    check.add_argument(
        "--model",
        nargs="+",
        metavar="MODEL",
        help="DEPLOY WEIGHTS, or one file that carries its weights",
    )
    add_state_options(check)
    schema = actions.add_parser(
        "schema",
        help="print a JSON Schema of recipe files, for editors",
        description="Print a JSON Schema (draft 2020-12) of recipe files, for editors.",
    )
    _add_output(schema)


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", metavar="OUT", help="file to write (default: print it)")
    parser.add_argument("-f", "--force", action="store_true", help="overwrite OUT")


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Do what the action says."""
    actions = {"init": _init, "check": _check, "schema": _schema}
    return actions[args.action](args, terminal)


def _init(args: argparse.Namespace, terminal: Terminal) -> int:
    from cmodel.compress import DEFAULT_PRESET
    from cmodel.compress.template import recipe_template

    preset = args.preset or DEFAULT_PRESET
    name = args.name or (Path(args.output).stem if args.output else "mine")
    text = recipe_template(preset, name)
    facts = {"preset": preset, "name": name, "output": args.output}
    return _give(args, terminal, text, facts | {"text": text})


def _schema(args: argparse.Namespace, terminal: Terminal) -> int:
    from cmodel.compress.schema import recipe_schema

    schema = recipe_schema()
    text = json.dumps(schema, indent=1, ensure_ascii=False) + "\n"
    return _give(args, terminal, text, {"output": args.output, "recipe_schema": schema})


def _give(args: argparse.Namespace, terminal: Terminal, text: str, facts: dict[str, Any]) -> int:
    """Write the text into the file that -o names, or print it."""
    if args.output:
        output = Path(args.output)
        refuse_existing(output, args.force)
        with atomic_write(output) as file:
            file.write(text.encode())
        text = f"{output}: written"
    terminal.document(f"recipe-{args.action}", facts, text)
    return 0


def _check(args: argparse.Namespace, terminal: Terminal) -> int:
    from cmodel.compress import resolve_recipe
    from cmodel.compress.selection import preview

    recipe = resolve_recipe(args.recipe)
    chosen: Sequence[Sequence[Target]] | None = None
    certain = 0
    if args.model:
        if len(args.model) > 2:
            raise UsageError("--model takes DEPLOY WEIGHTS, or one file that carries its weights")
        deploy, weights = (*args.model, None)[:2]
        named = argparse.Namespace(**vars(args) | {"model": deploy, "weights": weights})
        chosen, certain = preview(load_model(named, terminal), recipe.steps)
    steps = _facts(recipe, chosen, certain)
    for number, step in enumerate(steps, 1):
        if step.get("parameters") == [] and not step["optional"] and not step["certain"]:
            terminal.warn(
                f"step {number}, `{step['method']}`, selects nothing in the net as it is; `pack` "
                "refuses that unless the steps before it make such layers"
            )
    facts = {"recipe": recipe.name, "steps": steps}
    terminal.document("recipe-check", facts, _text(recipe, steps, chosen is not None))
    return 0


def _facts(
    recipe: Recipe, chosen: Sequence[Sequence[Target]] | None, certain: int
) -> list[dict[str, Any]]:
    steps = []
    for number, step in enumerate(recipe.steps):
        facts: dict[str, Any] = {
            "method": step.method.name,
            "optional": step.optional,
            "needs_images": bool(step.method.needs(step.method.make_options(step.options))),
        }
        if chosen is not None:
            facts["certain"] = number < certain
            facts["parameters"] = [
                {"name": target.name, "options": _options(step, target)}
                for target in chosen[number]
            ]
        steps.append(facts)
    return steps


def _options(step: Step, target: Target) -> dict[str, Any]:
    return dict(vars(step.options_for(target)))


def _text(recipe: Recipe, steps: list[dict[str, Any]], with_model: bool) -> str:
    header = ["step", "method", "images", *(["parameter", "options"] if with_model else [])]
    rows: list[list[str]] = []
    for number, step in enumerate(steps, 1):
        start = [str(number), step["method"], "needed" if step["needs_images"] else ""]
        if not with_model:
            rows.append(start)
            continue
        some = [
            [f"{parameter['name']}{'' if step['certain'] else ' ?'}", _stated(parameter["options"])]
            for parameter in step["parameters"]
        ]
        for cells in some or [["none", ""]]:
            rows.append([*start, *cells])
            start = ["", "", ""]
    text = table(header, rows, left=len(header))
    if with_model and not all(step["certain"] for step in steps):
        text += "\n\n?: in the net as it is; a step before it may change the layers"
    return f"{text}\n\n`{recipe.name}` is a valid recipe of {len(steps)} steps"


def _stated(options: dict[str, Any]) -> str:
    """Show the options that have a value."""
    return ", ".join(
        f"{name} = {json.dumps(value)}" for name, value in options.items() if value is not None
    )
