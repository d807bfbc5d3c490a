#!/bin/bash
# Every command that README, the documents and the help texts show is run in a fresh copy of the tree: see commands.py.
exec python3 "$(dirname "$0")/commands.py"
