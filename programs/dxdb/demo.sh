#!/bin/bash
# A PostgreSQL of its own with a sample table, and dxdb in front of it: `make run-dxdb`. Ctrl-C ends both and removes them.
# usage: demo.sh DXDB [PORT]
set -eu
dxdb=$(realpath "$1") port=${2:-7080}
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
[ -n "$bin" ] || { echo "PostgreSQL is not installed (Debian: apt-get install postgresql)" >&2; exit 1; }
place=$(mktemp -d) as=()
if [ "$(id -u)" = 0 ]; then # the database refuses to run as root
    as=(setpriv --reuid=postgres --regid=postgres --clear-groups)
    chown postgres "$place"
fi
chmod 755 "$place"
finish() {
    trap - EXIT
    # It may have ended already: Ctrl-C reaches both.
    [ -z "${server:-}" ] || { kill "$server" 2>/dev/null || true; wait "$server" || true; }
    (cd / && "${as[@]}" "$bin/pg_ctl" -D "$place/data" -m immediate stop >/dev/null 2>&1) || true
    rm -rf "$place"
}
trap finish EXIT
trap 'exit 0' INT TERM
cd /
"${as[@]}" "$bin/initdb" -D "$place/data" -U demo -A trust --no-sync --no-locale -E UTF8 >/dev/null
"${as[@]}" "$bin/pg_ctl" -D "$place/data" -w -l "$place/log" -o "-k $place -c listen_addresses= -F" start >/dev/null
psql="psql -h $place -U demo postgres"
$psql -qX <<'SQL'
CREATE TABLE products (id int PRIMARY KEY, name text NOT NULL, price numeric(10,2), stock int, changed timestamptz DEFAULT now());
INSERT INTO products VALUES (1, 'kettle', 24.90, 12), (2, 'cup', 6.50, 80), (3, 'pot', 31.00, 7);
SQL
cat >"$place/dxdb.toml" <<TOML
[server]
http = "127.0.0.1:$port"
hbtp = "127.0.0.1:0"

[database]
url = "host=$place user=demo dbname=postgres"

[[query]]
name = "products"
sql = "SELECT * FROM products ORDER BY id"

[[query]]
name = "product"
sql = "SELECT * FROM products WHERE id = \$1"
parameters = ["id"]
TOML
"$dxdb" install-triggers "$place/dxdb.toml"
"$dxdb" serve "$place/dxdb.toml" &
server=$!
cat <<TEXT
Open http://127.0.0.1:$port/ and type in another terminal:
    $psql -c "UPDATE products SET stock = stock - 1 WHERE id = 2"
Ctrl-C ends it.
TEXT
wait "$server"
