"""usage: compare.py TABLE FILE: is the table in FILE the one in TABLE, each
number within 2 % (or 8 bytes)? Prints the differences."""
import re, sys


def rows(path):
    found = {}
    for line in open(path):
        match = re.match(r"(dx_\w+\.h: .*?)((?: +\d+){12})$", line.rstrip())
        if match:
            found[match.group(1)] = [int(number) for number in match.group(2).split()]
    return found


made, said = rows(sys.argv[1]), rows(sys.argv[2])
if not made:
    print("no figures")
for use in sorted(set(made) | set(said)):
    if use not in made or use not in said:
        print(f"{use}: {'not measured' if use in said else 'not in the table'}")
        continue
    for is_, says in zip(made[use], said[use]):
        if abs(is_ - says) > max(8, is_ // 50):
            print(f"{use}: {is_}, the table says {says}")
