#!/usr/bin/env python3
"""Runs `make demo` and draws what it prints as a terminal, for README.md: light or dark as the reader's theme is.
usage: demo_picture.py FILE.svg      (make demo-picture)"""
import subprocess, sys

STYLE = """<style>
.w{fill:#f6f8fa;stroke:#d0d7de}.d{fill:#d0d7de}text{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;fill:#24292f;white-space:pre}
.p{fill:#1a7f37}.b{font-weight:700}.h{fill:#57606a}
@media(prefers-color-scheme:dark){.w{fill:#161b22;stroke:#30363d}.d{fill:#484f58}text{fill:#e6edf3}.p{fill:#56d364}.h{fill:#8b949e}}
</style>"""
# Columns of the table, and their widths in the picture: 51 characters, which a phone can show. The share of gzip is left out, and so
# is the time: it says more about how busy the machine was.
KEPT = [(slice(0, 12), 12), (slice(13, 25), 12), (slice(25, 37), -8), (slice(37, 49), -10), (slice(61, 73), -9)]
SHORT = {"wire bytes": "wire"}


def run():
    """The lines of the demo's table."""
    said = subprocess.run(["make", "-s", "demo"], stdout=subprocess.PIPE, check=True).stdout.decode().splitlines()
    table = [line for line in said if line.startswith(("pull  ", "first copy", "update", "unchanged"))]
    if len(table) != 4:
        sys.exit("the demo has not printed its table")
    return table


def table_lines(table):
    """Lines of the picture, each with its class."""
    lines = [("p", "$ make demo")]
    for row in table:
        line = ""
        for column, width in KEPT:
            cell = SHORT.get(row[column].strip(), row[column].strip())
            line += cell.ljust(width) if width > 0 else cell.rjust(-width)
        lines.append(("h" if row.startswith("pull") else "b" if row.startswith("update") else "", line))
    return lines


def draw(title, lines, width):
    """A terminal of this width in pixels, with (class, text) for each line."""
    escape = lambda t: t.replace("&", "&amp;").replace("<", "&lt;").replace(" ", "\u00a0")
    height = 44 + 19 * len(lines)
    parts = ['<rect class="w" x="1" y="1" width="%d" height="%d" rx="8"/>' % (width - 2, height - 2)]
    parts += ['<circle class="d" cx="%d" cy="16" r="5"/>' % x for x in (18, 34, 50)]
    parts += ['<text x="12" y="%d"%s>%s</text>' % (48 + 19 * i, ' class="%s"' % kind if kind else "", escape(text)) for i, (kind, text) in enumerate(lines)]
    return ('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img">\n<title>%s</title>\n%s\n%s\n</svg>\n'
            % (width, height, width, height, title, STYLE, "\n".join(parts)))


if __name__ == "__main__":
    made = draw("make demo", table_lines(run()), 420)
    open(sys.argv[1], "w").write(made)
