#!/bin/sh
# The CACTI that comes with hwcomponents-cacti is linked with a newer C library than some systems have. Where it does
# not start, build it from the sources beside it. Argument: the Python in whose environment it is installed.
folder=$("$1" -c 'import importlib.util; print(importlib.util.find_spec("hwcomponents_cacti").submodule_search_locations[0])')/cacti || exit 0
cd "$folder" || exit 0
./cacti >/dev/null 2>&1
code=$?
test "$code" -ne 126 && test "$code" -ne 127 && ! ./cacti 2>&1 | grep -q GLIBC && exit 0
rm -rf obj_opt && make opt >/dev/null 2>&1 && exit 0
echo "CACTI does not start here and could not be built in $folder; the tests that need it cannot run" >&2
exit 0
