"""Put the table of a bench into bench/README.md, between its two marks."""
import re

PATH = "bench/README.md"


def write_table(command, table):
    with open(PATH) as f:
        page = f.read()
    page, count = re.subn(r"(<!-- table of %s -->\n).*?(<!-- end of table -->)" % re.escape(command), lambda m: m[1] + table + "\n" + m[2], page, flags=re.S)
    assert count == 1, "%s has no place for the table of %s" % (PATH, command)
    with open(PATH, "w") as f:
        f.write(page)
