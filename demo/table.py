"""The table at the end: fine on a terminal, plain where it is not one."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from typing import List, Sequence

from acts import Act


def printed(acts: Sequence[Act]) -> str:
    """The acts as a table that fits the terminal, if there is one."""
    fine = is_terminal()
    good, bad = ("✓", "✗") if fine else ("ok:", "FAILED:")
    rows = [
        [act.what, act.key, act.where, act.checked_by, f"{good if act.good else bad} {act.result}"] for act in acts
    ]
    widths = _widths(rows, min(shutil.get_terminal_size().columns, WIDEST) if fine else 1000)
    return _fine(rows, acts, widths) if fine else _plain(rows, widths)


def is_terminal() -> bool:
    """Whether stdout is a terminal that may be given colours (https://no-color.org)."""
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def _fine(rows: List[List[str]], acts: Sequence[Act], widths: List[int]) -> str:
    def rule(left: str, middle: str, right: str) -> str:
        return DIM + left + middle.join("─" * (width + 2) for width in widths) + right + RESET

    bar = f"{DIM}│{RESET}"
    lines = [rule("╭", "┬", "╮")]
    for cells in _wrapped(HEADINGS, widths):
        lines.append(bar + bar.join(f" {BOLD}{cell}{RESET} " for cell in cells) + bar)
    last_group = None
    for row, act in zip(rows, acts):
        if act.group != last_group:
            lines.append(rule("├", "┼", "┤"))
            last_group = act.group
        for cells in _wrapped(row, widths):
            colour = GREEN if act.good else RED
            cells[-1] = f"{colour}{cells[-1]}{RESET}"
            lines.append(bar + bar.join(f" {cell} " for cell in cells) + bar)
    lines.append(rule("╰", "┴", "╯"))
    return "\n".join(lines)


def _plain(rows: List[List[str]], widths: List[int]) -> str:
    table = [HEADINGS, ["-" * width for width in widths], *rows]
    return "\n".join(
        " | ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in table
    )


def _widths(rows: List[List[str]], room: int) -> List[int]:
    """As wide as the widest cell; where the terminal is too narrow, the widest columns give way."""
    widths = [max(len(row[column]) for row in [HEADINGS, *rows]) for column in range(len(HEADINGS))]
    while sum(widths) + 3 * len(widths) + 1 > room and max(widths) > NARROWEST:
        widths[widths.index(max(widths))] -= 1
    return widths


def _wrapped(row: Sequence[str], widths: List[int]) -> List[List[str]]:
    cells = [textwrap.wrap(cell, width) or [""] for cell, width in zip(row, widths)]
    height = max(len(cell) for cell in cells)
    return [
        [(cell[line] if line < len(cell) else "").ljust(width) for cell, width in zip(cells, widths)]
        for line in range(height)
    ]


HEADINGS = ["What was done", "By which key", "In the token", "Checked by", "Result"]
NARROWEST = 10
WIDEST = 120
BOLD, DIM, GREEN, RED, RESET = "\033[1m", "\033[2m", "\033[32m", "\033[31m", "\033[0m"
