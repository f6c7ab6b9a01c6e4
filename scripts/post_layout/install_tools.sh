#!/bin/sh
# What place and route needs: qflow's scripts with graywolf, qrouter and magic, and the OSU 180 nm cells. Where one is
# missing and Debian's packages can be installed (as root), install it; elsewhere the flow says what is missing.
missing=""
test -f /usr/lib/qflow/scripts/placement.sh || missing="$missing qflow"
test -f /usr/share/qflow/tech/osu018/osu018_stdcells.lib || missing="$missing qflow-tech-osu018"
for program in graywolf qrouter magic tcsh; do
    test -x "/usr/bin/$program" || missing="$missing $program"
done
test -x /usr/bin/tclsh || missing="$missing tcl"
test -z "$missing" && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing$missing" >&2
    # shellcheck disable=SC2086 # one argument a package
    { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $missing; } >/dev/null 2>&1
fi
exit 0
