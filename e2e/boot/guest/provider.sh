# The provider, its publisher and the sample app, in the guest.

# All of it is on the disk, which outlives a boot.
data=/var/lib/apocryph
publisher_home=/var/lib/publisher
policy=/var/lib/policy.yaml

pub() { publisher --home $publisher_home --no-mdns "$@"; }

# provider_try FLAGS... starts the provider and waits until it serves or ends.
provider_try() {
  rm -f $data/provider.json
  provider serve "$@" --data-dir $data --listen /ip4/127.0.0.1/tcp/4021 --no-mdns --ingress 127.0.0.1:8081 \
    --api 127.0.0.1:47080 --log-format text --log-level debug >>$provider_log 2>&1 &
  provider_pid=$!
  eventually 300 "the provider serves or has ended" test -s $data/provider.json -o ! -d /proc/$provider_pid
  [ -s $data/provider.json ]
}

provider_start() {
  provider_try "$@" || fail "the provider ended"
  address=$(sed -nE 's/.*"addrs":\["([^"]+)".*/\1/p' $data/provider.json)
}

provider_stop() {
  kill $provider_pid
  wait $provider_pid || fail "the provider ended with code $?"
  ok "the provider stopped"
}

# deploy APP writes the URL to /var/lib/APP.url.
deploy() {
  pub deploy "images/$1.yaml" --provider "$address" --policy $policy --timeout 10m >/tmp/out 2>/tmp/err
  code=$?
  cat /tmp/err
  tail -n 1 /tmp/out >"/var/lib/$1.url"
  return $code
}

# ask URL prints the app's answer through the ingress, and fails unless it is a
# good one. Its host is made known first. Debian's static busybox cannot do this:
# its wget crashes in getaddrinfo(3).
ask() {
  host=${1#http://}
  host=${host%%[:/]*}
  grep -q " $host\$" /etc/hosts || echo "127.0.0.1 $host" >>/etc/hosts
  probe get "$1" >/tmp/answer && sed -n 's/^200 //p' /tmp/answer | grep .
}

# deploy_hello does what e2e/demo.sh does.
deploy_hello() {
  step 'the publisher writes a policy from what the provider shows'
  pub policy init --from "$address" -o $policy || fail "policy init ended with code $?"
  grep -q 'protected: true' $policy || fail 'the provider shows no protected storage'
  step 'publisher deploy: encrypted, attested, released, running'
  head -c 32 /dev/urandom | base64 >images/token
  deploy hello || fail "deploy ended with code $?"
  url=$(cat /var/lib/hello.url)
  answer=$(ask "$url") || fail "the app does not answer at $url"
  case $answer in
    'hello, stranger'*) ok "the app answers through the ingress: $answer" ;;
    *) fail "the app answers: $answer" ;;
  esac
  equal "the digest of the app's secret" "$(ask "${url%/}/secret")" "sha256:$(sha256sum <images/token | cut -d' ' -f1)"
}
