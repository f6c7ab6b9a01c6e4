#!/bin/sh
# The report's tests open it in headless Chromium. Where it is missing and Debian's packages can be installed
# (as root), install it; elsewhere say so and go on: those tests then skip, or fail where CI=true.
command -v chromium >/dev/null 2>&1 && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends chromium; } >/dev/null 2>&1 && exit 0
fi
echo "chromium was not found and could not be installed: the report's browser tests cannot run" >&2
exit 0
