# What the scenarios share.
set -u

# provider_log is what the provider says: kept in memory, so that it is this boot's.
provider_log=/run/provider.log

now() { cut -d. -f1 /proc/uptime; }

# step announces what comes next, with the seconds since the kernel started.
step() { echo "=== [$(now)s] $*"; }

ok() { echo "ok: $*"; }

# fail ends the scenario; why is the last line of the console.
fail() {
  echo "$*" >/tmp/why
  if [ -e $provider_log ]; then
    echo '--- the provider said:'
    grep -v 'loading plugin' $provider_log | tail -n 40
  fi
  exit 1
}

# equal WHAT GOT WANT
equal() { if [ "$2" = "$3" ]; then ok "$1 is $2"; else fail "$1 is '$2', want '$3'"; fi; }

# between WHAT GOT LEAST MOST
between() { if [ "$2" -ge "$3" ] && [ "$2" -le "$4" ]; then ok "$1 is $2"; else fail "$1 is '$2', want $3 to $4"; fi; }

# eventually SECONDS WHAT COMMAND... waits until the command succeeds.
eventually() {
  limit=$(($(now) + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ "$(now)" -lt "$limit" ] || fail "this did not happen: $what"
    sleep 0.5
  done
  ok "$what"
}
