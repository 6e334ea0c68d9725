#!/usr/bin/env bash
# Tries Cattery in a Kubernetes cluster on this machine, made by kind; `make kind-up` and `make
# kind-down` call it.
#
#   scripts/kind.sh up      make the cluster, build the images, deploy, say where the UI is
#   scripts/kind.sh down    delete the cluster with everything in it
#
#   KIND_CLUSTER=cattery    its name
#   CATTERY_PORT=8080       port of this machine, on loopback only, that the UI is on
#
# Model keys (ANTHROPIC_API_KEY, OPENAI_API_KEY, …) go to the gateway; without one a demo model answers.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly OVERLAY=k8s/overlays/kind
readonly NODE_PORT=30080 # of the Service cattery-api, see the overlay
readonly OLDEST_KIND=0.24 # from here on its own network enforces NetworkPolicies
readonly cluster="${KIND_CLUSTER:-cattery}" port="${CATTERY_PORT:-8080}"

say() { printf 'kind: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

main() {
  case "${1:-}" in
    up) require_tools; up ;;
    down) require kind "https://kind.sigs.k8s.io"; kind delete cluster --name "$cluster" ;;
    *) fail "say up or down; see the head of scripts/kind.sh" ;;
  esac
}

require_tools() {
  require docker "https://docs.docker.com/engine/install"
  require kind "https://kind.sigs.k8s.io"
  require kubectl "https://kubernetes.io/docs/tasks/tools"
  docker version >/dev/null 2>&1 || fail "the docker engine cannot be reached. Start it, or give this user the right to use it, then repeat."
  local found
  found="$(kind version -q 2>/dev/null || kind version | sed -nE 's/^kind v?([0-9.]+).*/\1/p')"
  if [ "$(printf '%s\n' "$OLDEST_KIND" "$found" | sort -V | head -n 1)" != "$OLDEST_KIND" ]; then
    fail "kind $found does not enforce network policies, without which sandboxes do not start. Install $OLDEST_KIND or newer, then repeat."
  fi
}

require() { # PROGRAM WHERE
  command -v "$1" >/dev/null || fail "$1 is not installed. Install it ($2), then repeat."
}

up() {
  if ! kind get clusters 2>/dev/null | grep -qx "$cluster"; then
    say "making the cluster $cluster"
    kind create cluster --name "$cluster" --wait 120s --config - <<END
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
nodes:
  - role: control-plane
    extraPortMappings:
      - {containerPort: $NODE_PORT, hostPort: $port, listenAddress: 127.0.0.1}
END
  fi
  # A context of its own: the one that kubectl has meanwhile is somebody's.
  KUBECONFIG="$(mktemp)"
  export KUBECONFIG
  trap 'rm -f "$KUBECONFIG"' EXIT
  kind get kubeconfig --name "$cluster" >"$KUBECONFIG"

  say "installing agent-sandbox"
  kubectl apply --server-side --kustomize k8s/agent-sandbox >/dev/null
  kubectl --namespace agent-sandbox-system rollout status deployment --timeout 180s >/dev/null

  TAG="${TAG:-$(scripts/images.sh --tag)}"
  export TAG
  scripts/images.sh
  say "loading the images into the cluster"
  local image
  for image in $(scripts/images.sh --list); do
    kind load docker-image --name "$cluster" "cattery-$image:$TAG"
  done
  RESTART=1 scripts/deploy.sh "$OVERLAY"
  announce
}

announce() {
  local password
  password="$(kubectl --namespace cattery-system get secret cattery-admin --output 'jsonpath={.data.password}' | base64 --decode)"
  cat <<END

  Cattery    http://127.0.0.1:$port
  sign in    admin   $password   (until you change it)
  kubectl    kubectl --context kind-$cluster --namespace cattery-system get pods
  the end    make kind-down
END
}

main "$@"
