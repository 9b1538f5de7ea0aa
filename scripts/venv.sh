#!/bin/sh
# Make a virtual environment with a Python that is new enough: venv.sh PYTHON DIRECTORY
set -eu
wanted=$1
directory=$2

new_enough() {
    command -v "$1" >/dev/null 2>&1 &&
        "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

for python in "$wanted" python3.13 python3.12 python3.11 python3.14; do
    if new_enough "$python"; then
        echo "Making $directory with $("$python" --version)"
        if "$python" -m venv "$directory"; then
            exit 0
        fi
        rm -rf "$directory"
        echo "The environment could not be made. On Debian and Ubuntu: apt install python3-venv" >&2
        exit 1
    fi
done
echo "Python 3.11 or newer is needed, and '$wanted' is not it. Name another: make PYTHON=/path/to/python" >&2
exit 1
