#!/bin/sh
# What the tests compare with, and what Python cannot install: headless Chromium (the report), Icarus Verilog
# (datapaths and switching), OpenSTA (power), the OSU 180 nm cells. Where one is missing and Debian's packages can
# be installed (as root), install it; elsewhere say so and go on: its tests then skip, or fail where CI=true.
missing=""
command -v chromium >/dev/null 2>&1 || missing="$missing chromium"
command -v iverilog >/dev/null 2>&1 || missing="$missing iverilog"
command -v sta >/dev/null 2>&1 || missing="$missing opensta"
test -f /usr/share/qflow/tech/osu018/osu018_stdcells.lib || missing="$missing qflow-tech-osu018"
test -z "$missing" && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    # shellcheck disable=SC2086 # one argument a package
    { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $missing; } >/dev/null 2>&1 && exit 0
fi
echo "not found and could not be installed:$missing; the tests that need them cannot run" >&2
exit 0
